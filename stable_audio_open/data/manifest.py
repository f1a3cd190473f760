"""The manifest: one JSON object a line, one line a recording."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.inside import is_inside
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.tars import is_there
from stable_audio_open.files.text import not_utf8, text_lines
from stable_audio_open.files.unicode_names import as_on_disk
from stable_audio_open.manifest import ManifestLine


class Recording(ManifestLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording that can be trained on: it has a caption."""

    caption: str
    """Description of the sound."""

    @property
    def catalogue(self) -> str:
        """What stands before the colon of the source; empty where there is none."""
        return (self.source or "").partition(":")[0]


def read_manifest(folder: str | Path, manifest: str = "manifest.jsonl") -> list[Recording]:
    """Read the recordings listed in `folder / manifest`; empty lines are passed over.

    A byte order mark is passed over too, and names are found whether accents are written in one
    piece or in two, as archives from a Mac have them.

    Raises:
        ValueError: naming file and line: not UTF-8, not JSON, a missing, unknown or ill-typed
            field, a file that is not there.
    """
    folder = Path(folder)
    path = folder / manifest
    try:
        lines = list(text_lines(path))
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); give a folder with a manifest of one JSON "
            'object a line: {"file": ..., "caption": ...}'
        ) from error
    decoder = msgspec.json.Decoder(Recording)
    recordings = []
    for number, line in lines:
        if fault := not_utf8(line):
            raise ValueError(f"{path}:{number}: {fault}")
        try:
            recording = decoder.decode(line)
        except NOT_JSON as error:
            allowed = ", ".join(Recording.__struct_fields__)
            raise ValueError(f"{path}:{number}: {error}; the fields are {allowed}") from error
        recordings.append(_checked(recording, folder, f"{path}:{number}"))
    if not recordings:
        raise ValueError(f"{path}: lists no recordings; add one JSON object a line")
    return recordings


def write_manifest(path: str | Path, recordings: Sequence[Recording]) -> None:
    """Write the recordings, one a line, replacing `path` in one step."""
    lines = [msgspec.json.encode(recording.known()) for recording in recordings]
    replace_bytes(Path(path), b"".join(line + b"\n" for line in lines))


def _checked(recording: Recording, folder: Path, where: str) -> Recording:
    """Return a recording with the name that its file has on disk."""
    if not is_inside(recording.file):
        raise ValueError(
            f"{where}: file is {recording.file!r}; give a path inside the folder of the manifest"
        )
    if not recording.caption.strip():
        raise ValueError(f"{where}: the caption of {recording.file!r} is empty; describe the sound")
    found = as_on_disk(folder, recording.file)
    if not is_there(folder / found):
        file = folder / recording.file
        raise ValueError(f"{where}: {file} is not there; add it or remove the line")
    return recording if found == recording.file else replace(recording, file=found)

"""The manifest: one JSON object a line, one line a recording."""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from stable_audio_open.files.archives.tars import is_there
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.inside import is_inside
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.text import not_utf8, text_lines
from stable_audio_open.files.unicode_names import as_on_disk
from stable_audio_open.manifest import MEASURED, ManifestLine, decode_line, other_fields

logger = logging.getLogger(__name__)


class Recording(ManifestLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording that can be trained on: it has a caption."""

    caption: str
    """Description of the sound; the first where there are several."""

    @property
    def all_captions(self) -> tuple[str, ...]:
        """Its captions, one or several."""
        return (self.caption,) if isinstance(self.captions, UnsetType) else self.captions

    @property
    def catalogue(self) -> str:
        """What stands before the colon of the source; empty where there is none."""
        return (self.source or "").partition(":")[0]


def read_manifest(folder: str | Path, manifest: str = "manifest.jsonl") -> list[Recording]:
    """Read the recordings listed in `folder / manifest`; empty lines are passed over.

    Fields of other names are kept, and one warning names them. A byte order mark is passed over,
    and names are found whether accents are written in one
    piece or in two, as archives from a Mac have them.

    Raises:
        ValueError: naming file and line: not UTF-8, not JSON, a missing or ill-typed field, a file
            that is not there.
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
    recordings = []
    for number, line in lines:
        if fault := not_utf8(line):
            raise ValueError(f"{path}:{number}: {fault}")
        try:
            recording = decode_line(line, Recording)
        except NOT_JSON as error:
            allowed = ", ".join(Recording.__struct_fields__[:-1])
            raise ValueError(f"{path}:{number}: {error}; the fields are {allowed}") from error
        recordings.append(_checked(recording, folder, f"{path}:{number}"))
    if not recordings:
        raise ValueError(f"{path}: lists no recordings; add one JSON object a line")
    if others := other_fields(recordings):
        logger.warning("%s: other fields than ours are kept: %s", path, ", ".join(others))
    return recordings


def numbers_of(recording: Recording, names: Iterable[str]) -> dict[str, float]:
    """Return the fields of a recording that are finite numbers, of those that are named."""
    found = {}
    for name in names:
        value = recording.value(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and math.isfinite(value):
            found[name] = float(value)
    return found


def listed_frames(recording: Recording) -> tuple[int, int] | None:
    """Return samples and rate that a recording's line tells; None where it does not tell both."""
    told = numbers_of(recording, MEASURED[:2])
    if len(told) < 2 or told["sample_rate"] < 1 or told["sample_rate"] % 1:
        return None
    frames = round(told["seconds"] * told["sample_rate"])
    return (frames, int(told["sample_rate"])) if frames > 0 else None


def check_numbers(recordings: Sequence[Recording], names: Sequence[str]) -> None:
    """Check that every recording has every number that a model is conditioned on.

    Raises:
        ValueError: Naming the first number that is missing or no number, and some of the files.
    """
    for name in names:
        missing = [one for one in recordings if name not in numbers_of(one, [name])]
        if missing:
            shown = ", ".join(
                one.file if one.value(name) is None else f"{one.file} ({one.value(name)!r})"
                for one in missing[:3]
            )
            more = " and more" if missing[3:] else ""
            raise ValueError(
                f"the model is conditioned on {name}, and {len(missing)} of {len(recordings)} "
                f"recordings have no number of that name: {shown}{more}; add it to their lines of "
                "the manifest"
            )


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

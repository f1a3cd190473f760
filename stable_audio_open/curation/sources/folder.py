"""A folder of recordings: what their headers, sidecars (name.json) and embedded tags say."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stable_audio_open.audio.files import AudioInfo, audio_info, read_audio
from stable_audio_open.audio.paths import audio_files
from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.sources.embedded_tags import EmbeddedTags, read_tags
from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.text import MARK
from stable_audio_open.files.unicode_names import as_on_disk

ALIASES = {
    "name": "title",
    "license": "licence",
    "username": "author",
    "uploader": "author",
    "url": "page_url",
}
"""Names that Freesound gives to fields of a sidecar."""
END = 0.05
"""Seconds read at the end: a FLAC or MP3 file that was cut fails there alone."""

LOOP = "a link that leads back to itself or to a folder above it; remove the link"


def read_folder(root: Path, *, engine: Engine | None = None) -> Iterator[SourceRow]:
    """Yield a row for each file below `root` that is named as audio, and for each loop of links.

    Args:
        root: Folder of the recordings. A sidecar counts before embedded tags, field by field.
        engine: What reads the files; this process when None.

    Raises:
        OSError: A folder cannot be read.
    """
    loops: list[Path] = []
    names = [path.relative_to(root).as_posix() for path in audio_files(root, loops=loops)]
    described = (engine or Serial()).map(Stage("recordings", partial(_describer, root)), names)
    for number, (name, said) in enumerate(zip(names, described, strict=True), start=1):
        yield SourceRow(
            source=str(root),
            position=number,
            raw=name,
            record=said.record,
            reason=said.reason,
            note=said.note,
        )
    for position, path in enumerate(loops, start=len(names) + 1):
        name = path.relative_to(root).as_posix()
        yield SourceRow(source=str(root), position=position, raw=name, reason=LOOP)


class DescribedFile(NamedTuple):
    """A recording, or why it is none."""

    record: CatalogueRecord | None = None
    reason: str = ""
    note: str = ""
    """What is odd about one that counts."""


def _describer(root: Path) -> Callable[[str], DescribedFile]:
    """Return what reads a recording, or says why it cannot."""

    def described(name: str) -> DescribedFile:
        try:
            return _record(root / name, name)
        except (ValueError, OSError) as error:
            return DescribedFile(
                reason=str(error) if isinstance(error, ValueError) else _reason(error)
            )

    return described


def _record(path: Path, name: str) -> DescribedFile:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the path is not UTF-8; rename the file") from error
    if path.exists() and not path.is_file():
        raise ValueError("not a file; leave it out")
    info = checked_info(path)
    beside = as_on_disk(path.parent, path.with_suffix(".json").name)
    said = _sidecar(path.with_name(beside)) or EmbeddedTags()
    tags, note = EmbeddedTags(), ""
    try:
        tags = read_tags(path)
    except ValueError as error:
        # The sound is what counts; who made it and under which licence is asked later.
        note = str(error)
    return DescribedFile(_merged(name, said, tags, info), note=note)


def checked_info(path: Path) -> AudioInfo:
    """Return what the header says, once the end has been read.

    Raises:
        AudioFileError: The file cannot be used as audio.
    """
    info = audio_info(path)
    read_audio(path, start=max(0.0, info.duration - END))
    return info


def _sidecar(path: Path) -> EmbeddedTags | None:
    if not path.is_file():
        return None
    try:
        fields = msgspec.json.decode(path.read_bytes().removeprefix(MARK), type=dict[str, Any])
        given = {name: value for name, value in fields.items() if value is not None}
        known = {ALIASES[name]: value for name, value in given.items() if name in ALIASES}
        return msgspec.convert(known | given, EmbeddedTags)
    except NOT_JSON as error:
        raise ValueError(f"{path.name}: not a description ({error})") from error


def _merged(name: str, said: EmbeddedTags, tags: EmbeddedTags, info: AudioInfo) -> CatalogueRecord:
    fields = {
        field: getattr(said, field) or getattr(tags, field)
        for field in EmbeddedTags.__struct_fields__
    }
    return CatalogueRecord(
        id=f"folder:{name}",
        file=name,
        duration=info.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
        **fields,
    )


def _reason(error: OSError) -> str:
    return f"cannot be read ({error.strerror})"

"""A training manifest as a source: recordings that somebody has listed with their captions."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.sources.folder import checked_info
from stable_audio_open.files.inside import is_inside
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.text import not_utf8, text_lines
from stable_audio_open.files.unicode_names import as_on_disk
from stable_audio_open.manifest import ManifestLine, decode_line, other_fields

logger = logging.getLogger(__name__)


class Sourced(msgspec.Struct, frozen=True):
    """What is read of a line to tell which sources stand there twice."""

    source: str | None = None


def read_listed(manifest: Path, audio: Path | None = None) -> Iterator[SourceRow]:
    """Yield a row for each line of a manifest that is not empty.

    A record's identifier is the line's `source`. Where several lines name the same one, each gets
    `#` and its file behind it; without a source it is `folder:` and the file. Where no
    description is given, the caption is one too, so that prompts can be drawn of it. The end of
    each file is read, as of a folder's.

    Args:
        manifest: One JSON object a line.
        audio: Folder of the files; the manifest's own when None.

    Raises:
        ValueError: The manifest is in UTF-16, or no file.
        OSError: It cannot be read.
    """
    audio = manifest.parent if audio is None else audio
    sources = Counter(_sources(manifest))
    left_out: dict[str, None] = {}
    for number, text in text_lines(manifest):
        try:
            line = _line(text)
            left_out |= dict.fromkeys(other_fields([line]))
            record = _record(line, audio, sources)
        except (*NOT_JSON, ValueError) as error:
            yield SourceRow(source=str(manifest), position=number, raw=text, reason=str(error))
        else:
            yield SourceRow(source=str(manifest), position=number, raw=text, record=record)
    if left_out:
        logger.warning(
            "%s: a catalogue has no place for its other fields: %s", manifest, ", ".join(left_out)
        )


def _sources(manifest: Path) -> Iterator[str]:
    decoder = msgspec.json.Decoder(Sourced)
    for _, line in text_lines(manifest):
        try:
            source = decoder.decode(line).source
        except NOT_JSON:
            continue  # reported when the line is read as a whole
        if source:
            yield source


def _line(text: bytes) -> ManifestLine:
    if fault := not_utf8(text):
        raise ValueError(fault)
    return decode_line(text, ManifestLine)


def _record(line: ManifestLine, audio: Path, sources: Counter[str]) -> CatalogueRecord:
    if not is_inside(line.file):
        raise ValueError(f"file is {line.file!r}; give a path inside {audio}")
    line = replace(line, file=as_on_disk(audio, line.file))
    info = checked_info(audio / line.file)
    if not line.source:
        name = f"folder:{line.file}"
    elif sources[line.source] > 1:
        name = f"{line.source}#{line.file}"
    else:
        name = line.source
    said = msgspec.structs.asdict(line)
    for field in ("source", "description", "captions", "other"):
        del said[field]
    return CatalogueRecord(
        id=name,
        description=line.description or line.caption,
        captions=None if isinstance(line.captions, UnsetType) else line.captions,
        duration=info.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
        **said,
    )

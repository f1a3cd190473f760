"""Rows of any catalogue become one catalogue on disk; rows that cannot are kept with the reason."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from stable_audio_open.curation.catalogue.parquet import RECORDS, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.lock import locked_folder, scratch_folder
from stable_audio_open.files.replaced import replace_folder, restore_folder

REJECTS = "rejects.jsonl"
NOTES = "notes.jsonl"
LARGEST_RATE, MOST_CHANNELS, LAST_YEAR = 2**31 - 1, 2**15 - 1, 9999


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one row of a source says, or why that is unknown."""

    source: str
    """File or folder."""
    position: int
    """Line of a text file, or number in a document or folder, from 1."""
    raw: str | bytes
    """The row as it stands there."""
    record: CatalogueRecord | None = None
    """None for a bad row."""
    reason: str = ""
    """What is wrong with a bad row."""
    note: str = ""
    """What is odd about a good one."""


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `rejects.jsonl`, a row that is not in the catalogue, or of `notes.jsonl`."""

    source: str
    position: int
    reason: str
    raw: str


class Ingested(msgspec.Struct, kw_only=True):
    """How many rows went where."""

    records: int = 0
    with_file: int = 0
    rejects: int = 0
    notes: int = 0


def ingest(rows: Iterable[SourceRow], folder: Path, *, replace: bool = False) -> Ingested:
    """Write a catalogue and its rejects, both or neither.

    Args:
        rows: Read once; one part of the catalogue is in memory at a time, and all identifiers.
            Bad rows and repeated identifiers go to `folder/rejects.jsonl`, what is odd about
            good ones to `folder/notes.jsonl`.
        folder: Folder of the catalogue; decisions that are there stay.
        replace: Take the place of a catalogue that is there.

    Raises:
        FolderInUseError: another process works in the folder.
        ValueError: a catalogue is there and `replace` is False.
        OSError: the folder cannot be written; what was there before stays.
    """
    with locked_folder(folder, remedy="wait until it ends, or give another folder"):
        restore_folder(folder / RECORDS)
        if (folder / RECORDS).exists() and not replace:
            raise ValueError(
                f"{folder}: holds a catalogue; give another folder, or --replace to read it anew"
            )
        return _ingest_alone(rows, folder)


def _ingest_alone(rows: Iterable[SourceRow], folder: Path) -> Ingested:
    counts = Ingested()
    with (
        scratch_folder(folder, "ingest") as beside,
        errors_named(folder, inside=beside, reads=True),
    ):
        with (beside / REJECTS).open("wb") as rejects, (beside / NOTES).open("wb") as notes:
            write_catalogue(beside, _sort_out(rows, rejects, notes, counts=counts))
        replace_folder(folder / RECORDS, beside / RECORDS)
        (beside / REJECTS).replace(folder / REJECTS)
        if counts.notes:
            (beside / NOTES).replace(folder / NOTES)
        else:
            (folder / NOTES).unlink(missing_ok=True)
    return counts


def with_files(rows: Iterable[SourceRow], files: dict[int, str]) -> Iterator[SourceRow]:
    """Say for each record which file holds its audio.

    Args:
        rows: Rows of Freesound or FMA, whose identifiers are numbers.
        files: Paths by number; see `files_by_number`.
    """
    for row in rows:
        if row.record is None:
            yield row
        else:
            file = files.get(int(row.record.id.partition(":")[2]))
            record = msgspec.structs.replace(row.record, file=file)
            yield msgspec.structs.replace(row, record=record)


def _sort_out(
    rows: Iterable[SourceRow], rejects: BinaryIO, notes: BinaryIO, *, counts: Ingested
) -> Iterator[CatalogueRecord]:
    seen: set[str] = set()
    for row in rows:
        record = row.record
        reason = row.reason if record is None else _fault(record, seen)
        if record is not None and not reason:
            seen.add(record.id)
            counts.records += 1
            counts.with_file += record.file is not None
            if row.note:
                counts.notes += 1
                notes.write(_line(row, row.note))
            yield record
            continue
        counts.rejects += 1
        rejects.write(_line(row, reason))


def _line(row: SourceRow, reason: str) -> bytes:
    told = Reject(
        source=readable(row.source),
        position=row.position,
        reason=readable(reason),
        raw=readable(row.raw),
    )
    return msgspec.json.encode(told) + b"\n"


def _fault(record: CatalogueRecord, seen: set[str]) -> str:
    """Say why a record cannot be in the catalogue; empty when it can."""
    if record.id in seen:
        return f"the id {record.id!r} is there already"
    ranges = (
        ("year", record.year, 1, LAST_YEAR),
        ("sample_rate", record.sample_rate, 1, LARGEST_RATE),
        ("channels", record.channels, 1, MOST_CHANNELS),
    )
    for name, value, low, high in ranges:
        if value is not None and not low <= value <= high:
            return f"{name} is {value}; it must lie within {low}..{high}"
    if record.duration is not None and not (
        math.isfinite(record.duration) and record.duration >= 0
    ):
        return f"duration is {record.duration} s; it must be finite and not negative"
    return ""


def readable(text: str | bytes) -> str:
    """Return text that is valid UTF-8, with escapes for what is not."""
    data = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    return data.decode(errors="backslashreplace")

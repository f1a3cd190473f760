"""Catalogues on disk: Parquet parts that any tool reads."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.atomic import written_beside

RECORDS = "records"
PART = 50_000
"""Records in a file: some tens of MB, and a unit of parallel work."""


def schema() -> Any:
    """Return the Arrow schema: one column for each field of `CatalogueRecord`."""
    import pyarrow as pa

    types = {
        "captions": pa.list_(pa.string()),
        "tags": pa.list_(pa.string()),
        "genres": pa.list_(pa.string()),
        "year": pa.int32(),
        "duration": pa.float64(),
        "sample_rate": pa.int32(),
        "channels": pa.int16(),
    }
    names = CatalogueRecord.__struct_fields__
    return pa.schema(
        [pa.field(name, types.get(name, pa.string()), nullable=name != "id") for name in names]
    )


def write_catalogue(folder: Path, records: Iterable[CatalogueRecord], *, part: int = PART) -> int:
    """Write records to `folder/records/part-NNNNN.parquet`, each part in one step.

    Args:
        folder: Created when missing; parts of a longer catalogue that stood there are removed.
        records: Any number; one part is in memory at a time.
        part: Records in a file.

    Returns:
        How many there were.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = folder / RECORDS
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    count, remaining = 0, iter(records)
    while chunk := list(islice(remaining, part)):
        path = target / f"part-{len(written):05d}.parquet"
        table = pa.Table.from_pylist(
            [msgspec.structs.asdict(record) for record in chunk], schema=schema()
        )
        with written_beside(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        written.append(path)
        count += len(chunk)
    for old in target.glob("part-*.parquet"):
        if old not in written:
            old.unlink()
    return count


def catalogue_parts(folder: Path) -> list[Path]:
    """Return the files of a catalogue in order.

    Raises:
        ValueError: When there is none.
    """
    parts = sorted((folder / RECORDS).glob("part-*.parquet"))
    if not parts:
        raise ValueError(
            f"{folder}: holds no catalogue (no {RECORDS}/part-*.parquet); make one with "
            "`stable-audio-open curate ingest`"
        )
    return parts


def read_catalogue(folder: Path) -> Iterator[CatalogueRecord]:
    """Yield the records of a catalogue, part by part.

    Raises:
        ValueError: When there is none, or a part is not of this schema.
    """
    for part in catalogue_parts(folder):
        yield from read_part(part)


def read_part(path: Path) -> list[CatalogueRecord]:
    """Return the records of one file.

    Raises:
        ValueError: When it cannot be read or is not of this schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, schema=schema()).to_pylist()
        return msgspec.convert(rows, list[CatalogueRecord])
    except (OSError, pa.ArrowException, msgspec.ValidationError) as error:
        raise ValueError(
            f"{path}: not a part of a catalogue ({error}); ingest the catalogue again"
        ) from error

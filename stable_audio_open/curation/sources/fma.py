"""FMA's metadata: tracks.csv and genres.csv of the data set `fma_metadata`."""

import ast
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord

TRACKS, GENRES = "tracks.csv", "genres.csv"
LARGEST_FIELD = 16_000_000
"""Characters; biographies pass the 131,072 that Python's reader allows."""

Column = tuple[str, str]
Item = TypeVar("Item")
NEEDED: tuple[Column, ...] = (
    ("album", "title"),
    ("album", "date_released"),
    ("artist", "name"),
    ("track", "date_recorded"),
    ("track", "duration"),
    ("track", "genres"),
    ("track", "information"),
    ("track", "license"),
    ("track", "tags"),
    ("track", "title"),
)


class Genre(NamedTuple):
    """A row of genres.csv."""

    title: str
    parent: int
    """Zero for the most general."""


def read_fma(source: Path) -> Iterator[SourceRow]:
    """Yield the tracks of tracks.csv, with the names of their genres from genres.csv beside it.

    Args:
        source: tracks.csv, or the folder that holds it.

    Raises:
        OSError: A file cannot be read.
        ValueError: A header is not as documented.
    """
    path = source / TRACKS if source.is_dir() else source
    genres = read_genres(path.with_name(GENRES))
    with _open(path) as file:
        rows = _rows(file)
        columns = _columns(path, rows)
        for line, cells in rows:
            raw = cells if isinstance(cells, str) else _as_text(cells)
            try:
                if isinstance(cells, str):
                    raise ValueError(cells)
                record = _record(cells, columns, genres)
            except ValueError as error:
                yield SourceRow(source=str(path), position=line, raw=raw, reason=str(error))
            else:
                yield SourceRow(source=str(path), position=line, raw=raw, record=record)


def read_genres(path: Path) -> dict[int, Genre]:
    """Return the genres by number.

    Raises:
        OSError: The file cannot be read.
        ValueError: A column is missing or a row is not as documented.
    """
    with _open(path) as file:
        rows = csv.DictReader(file)
        try:
            return {
                int(row["genre_id"]): Genre(row["title"], int(row["parent"] or 0)) for row in rows
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}:{rows.line_num}: not a row of genres ({error}); the columns are genre_id, "
                "#tracks, parent, title, top_level"
            ) from error


def genre_names(numbers: Iterable[int], genres: dict[int, Genre]) -> tuple[str, ...]:
    """Return the names of genres and of all that contain them, the most general first.

    Args:
        numbers: Numbers of `track.genres`.
        genres: What `read_genres` gives.

    Raises:
        ValueError: An unknown genre, or one that contains itself.
    """
    depths: dict[int, int] = {}
    for number in numbers:
        path = [number]
        while parent := _genre(path[-1], genres).parent:
            if parent in path:
                raise ValueError(f"genre {parent} contains itself in {GENRES}")
            path.append(parent)
        for depth, above in enumerate(reversed(path)):
            depths[above] = depth
    ordered = sorted(depths, key=lambda number: depths[number])
    return tuple(genres[number].title for number in ordered)


def _genre(number: int, genres: dict[int, Genre]) -> Genre:
    if number not in genres:
        raise ValueError(f"genre {number} is not in {GENRES}")
    return genres[number]


def _open(path: Path) -> TextIO:
    csv.field_size_limit(LARGEST_FIELD)
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


def _rows(file: TextIO) -> Iterator[tuple[int, list[str] | str]]:
    """Yield line number and cells, or what is wrong with the row; blank lines are passed over."""
    reader = csv.reader(file)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"not CSV: {error}"
            continue
        if cells:
            yield reader.line_num, cells


def _columns(path: Path, rows: Iterator[tuple[int, list[str] | str]]) -> list[Column]:
    """Read the two header rows, and the third that names the index."""
    header = [cells for _, cells in (next(rows, (0, "")) for _ in range(3))]
    upper, lower, index = (cells if isinstance(cells, list) else [] for cells in header)
    if len(upper) != len(lower):
        raise ValueError(
            f"{path}: the header rows have {len(upper)} and {len(lower)} cells; give {TRACKS} of "
            "fma_metadata as it is"
        )
    columns = list(zip(upper, lower, strict=True))
    missing = [".".join(column) for column in NEEDED if column not in columns]
    if missing or not index or index[0] != "track_id":
        lacks = f"lacks {', '.join(missing)}" if missing else "has no row `track_id`"
        raise ValueError(
            f"{path}: the header {lacks}; give {TRACKS} of fma_metadata, with its two header rows"
        )
    return columns


def _record(cells: list[str], columns: list[Column], genres: dict[int, Genre]) -> CatalogueRecord:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells; the header has {len(columns)}")
    _check_encoding(cells)
    number = cells[0]
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"track_id is {number!r}; it must be a number")
    row = dict(zip(columns, cells, strict=True))
    artist = row["artist", "name"] or None
    return CatalogueRecord(
        id=f"fma:{int(number)}",
        title=row["track", "title"] or None,
        description=row["track", "information"] or None,
        tags=tuple(_literal(row, ("track", "tags"), str)),
        genres=genre_names(_literal(row, ("track", "genres"), int), genres),
        album=row["album", "title"] or None,
        artist=artist,
        year=_year(row, ("album", "date_released")) or _year(row, ("track", "date_recorded")),
        licence=row["track", "license"] or None,
        author=artist,
        file=f"{int(number) // 1000:03d}/{int(number):06d}.mp3",
        duration=_seconds(row["track", "duration"]),
    )


def _check_encoding(cells: list[str]) -> None:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        raise ValueError("not UTF-8") from error


def _literal(row: dict[Column, str], column: Column, kind: type[Item]) -> list[Item]:
    text = row[column]
    if not text:
        return []
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{'.'.join(column)} is {text!r}; it must be a Python list") from error
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise ValueError(f"{'.'.join(column)} is {text!r}; it must be a list of {kind.__name__}")
    return value


def _year(row: dict[Column, str], column: Column) -> int | None:
    """Return the year of `2009-01-05 00:00:00`; None for an empty cell."""
    text = row[column]
    if not text:
        return None
    if not (text[:4].isdecimal() and text[4:5] in ("", "-")):
        raise ValueError(f"{'.'.join(column)} is {text!r}; it must be a date like 2009-01-05")
    return int(text[:4])


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise ValueError(f"track.duration is {text!r}; it must be a number") from error


def _as_text(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()

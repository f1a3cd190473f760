"""CSV files in which every row says something of an id."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.files.tables import original
from stable_audio_open.files.text import open_table
from stable_audio_open.files.unicode_names import composed


class IdRow(NamedTuple):
    """A row."""

    line: int
    id: str
    """With accents in one piece, as ids of files are compared."""
    value: str


def read_id_rows(path: Path, column: str) -> Iterator[IdRow]:
    """Yield the rows of a CSV file with the column id and another one.

    Raises:
        ValueError: A column or a value is missing, or it is no CSV file, or has no rows.
        OSError: The file cannot be read.
    """
    columns = ("id", column)
    found = False
    with open_table(path) as file:
        rows = csv.DictReader(file)
        try:
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: lacks the column {missing[0]!r}, has {rows.fieldnames}; the first "
                    f"line must name id and {column}"
                )
            for row in rows:
                name, value = (original(row[one] or "").strip() for one in columns)
                if not (name and value):
                    article = "an" if column[0] in "aeiou" else "a"
                    raise ValueError(
                        f"{path}, line {rows.line_num}: needs an id and {article} {column}"
                    )
                found = True
                yield IdRow(rows.line_num, composed(name), value)
        except csv.Error as error:
            raise ValueError(f"{path}: not a CSV file ({error})") from error
    if not found:
        raise ValueError(f"{path}: holds no {column}s; add a line for each recording")

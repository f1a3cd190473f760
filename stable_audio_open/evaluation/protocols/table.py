"""Tables of captions in CSV, row by row."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.files.text import open_table

LONGEST = 200
NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}")
"""What identifiers may be, as they become names of files."""


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each row stands (file and line) and its cells by column.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no CSV in UTF-8, a needed column is missing or empty in a row, or a row
            has more or fewer cells than the header.
    """
    with open_table(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            if not header:
                raise ValueError(f"{path}: is empty; give the table as it is published")
            missing = [column for column in needed if column not in header]
            if missing:
                raise ValueError(
                    f"{path}: the header lacks {', '.join(missing)}; found: {', '.join(header)}; "
                    "give the table of this data set as it is published"
                )
            twice = [column for column in needed if header.count(column) > 1]
            if twice:
                raise ValueError(f"{path}: the header has {twice[0]} twice; leave one column")
            for cells in reader:
                where = f"{path}:{reader.line_num}"
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise ValueError(f"{where}: {len(cells)} cells; the header has {len(header)}")
                row = dict(zip(header, cells, strict=True))
                for column in needed:
                    if not row[column].strip():
                        raise ValueError(f"{where}: {column} is empty; every row needs one")
                yield where, row
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: not CSV ({error})") from error


def checked(prompts: Iterator[tuple[str, CaptionPrompt]], path: Path) -> list[CaptionPrompt]:
    """Return the prompts, whose identifiers must differ and be fit for names of files.

    Args:
        prompts: Prompts, each with its place in the file.
        path: The file.

    Raises:
        ValueError: naming file and line.
    """
    found: dict[str, CaptionPrompt] = {}
    for where, prompt in prompts:
        for name in (prompt.id, prompt.clip):
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{where}: identifier {name!r}; allowed: ASCII letters, digits, - and _, at "
                    f"most {LONGEST}"
                )
        if prompt.id in found:
            raise ValueError(
                f"{where}: caption {prompt.id} is there twice; identifiers must differ"
            )
        found[prompt.id] = prompt
    if not found:
        raise ValueError(f"{path}: holds no captions; give the whole table")
    return list(found.values())

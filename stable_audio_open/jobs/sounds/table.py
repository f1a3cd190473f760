"""A table of sounds to make: CSV with a head, or a JSON object a line."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.tables import original
from stable_audio_open.files.text import not_utf8, open_table, text_lines
from stable_audio_open.jobs.sounds.columns import check_columns, integer_columns, text_columns

SUFFIXES = (".csv", ".jsonl")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
"""Numbers as people write them: `.3`, `+1`, `01`."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    index: int
    """Place among the rows, from 0."""
    line: int
    """Line of the file, from 1."""
    values: Mapping[str, Any]
    """What it sets, by column."""
    fault: str = ""
    """Why it cannot be read; empty where it can."""


def read_table(path: Path) -> list[Row]:
    """Return the rows of a table; one that cannot be read comes with its fault.

    In CSV an empty cell sets nothing, a cell of a text column is text, and any other one is JSON:
    `2.5`, `true`, `[0, 500]`. Whole numbers of columns of integers are integers, also as `7.0`.

    Args:
        path: A .csv or .jsonl file in UTF-8.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, has no row, or a column is unknown or stands twice.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; give a .csv or .jsonl file")
    rows = list(_csv_rows(path) if suffix == ".csv" else _json_rows(path))
    if not rows:
        raise ValueError(f"{path}: holds no row; give a column prompt and a row for each sound")
    return rows


def _csv_rows(path: Path) -> Iterator[Row]:
    texts, integers = text_columns(), integer_columns()
    with open_table(path) as file:
        reader = csv.reader(file, strict=True)
        head = tuple(name.strip() for name in next(reader, ()))
        check_columns(head, str(path))
        index = 0
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line, fault = reader.line_num, ""
            values: dict[str, Any] = {}
            if len(cells) != len(head):
                fault = f"has {len(cells)} cells, the head has {len(head)}"
            # A row that is too short or too long is reported with what can be told of it.
            for name, cell in zip(head, cells, strict=False):
                if not cell.strip():
                    continue
                try:
                    value = _cell(cell, is_text=name in texts)
                    whole = isinstance(value, float) and value.is_integer() and name in integers
                    values[name] = int(value) if whole else value
                except ValueError:
                    fault = fault or f"{name} is {cell!r}, which is no number, list, true or false"
            yield Row(index, line, values, fault)
            index += 1


def _cell(cell: str, *, is_text: bool) -> Any:
    """Return the value of a cell; lists and objects are JSON in text columns too."""
    text = original(cell).strip()
    if is_text and not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        lowered = text.lower()
        if lowered in ("true", "false"):
            return lowered == "true"
        if lowered in ("inf", "infinity"):
            return float("inf")
        if is_text:
            return text
        if NUMBER.fullmatch(text):
            return float(text)
        raise


def _json_rows(path: Path) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for index, (line, text) in enumerate(text_lines(path)):
        try:
            values = decoder.decode(text)
        except NOT_JSON as error:
            yield Row(index, line, {}, not_utf8(text) or f"is no JSON object ({error})")
            continue
        check_columns(tuple(values), f"{path}:{line}")
        yield Row(index, line, {name: value for name, value in values.items() if value is not None})

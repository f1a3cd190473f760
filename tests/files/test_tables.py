"""Cells that a spreadsheet would run, made harmless and read back."""

import csv
import io
import itertools
import random

import pytest

from stable_audio_open.files.tables import harmless, original


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t1",
        "\r1",
        "\n1",
        "\uff1d1",
        "-",
        "--",
    ],
)
def test_formulas_get_an_apostrophe(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert original(harmless(cell)) == cell


@pytest.mark.parametrize("cell", ["", "kick", "-3", "+4.5", "-1e-3", "-.5", "'tis", "'", "a=b"])
def test_all_else_stays(cell: str) -> None:
    assert harmless(cell) == cell
    assert original(cell) == cell


def test_what_is_read_back_is_what_was_written() -> None:
    draw = random.Random(0)
    for _ in range(3000):
        cell = "".join(draw.choices("'=+-@\t\r\n1.e a", k=draw.randrange(8)))
        assert original(harmless(cell)) == cell
        assert not harmless(cell).startswith(("=", "@", "\t", "\r", "\n"))


def test_no_part_of_a_cell_is_a_formula_whatever_separates() -> None:
    """In every cell of up to five of the characters that matter."""
    cells = {"".join(c) for size in range(6) for c in itertools.product("=';\n\"a", repeat=size)}
    out = io.StringIO()
    csv.writer(out).writerows(("id", harmless(cell), "end") for cell in sorted(cells))
    text = out.getvalue()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [original(row[1]) for row in rows] == sorted(cells)
    for delimiter in ";,":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            assert not [cell for cell in row if cell.startswith("=")]


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("kick;=HYPERLINK(A1)", "kick;'=HYPERLINK(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\n=1", "'\n'=1"),
        ("kick\t+1", "kick\t'+1"),
        ("a|@b\n-c", "a|'@b\n'-c"),
        ("a;\uff1dx", "a;'\uff1dx"),
        ('a;"=b', "a;'\"=b"),
        ("loud; - soft", "loud; - soft"),
        ("a-b;c=d", "a-b;c=d"),
    ],
)
def test_formulas_behind_a_separator(cell: str, safe: str) -> None:
    assert harmless(cell) == safe
    assert original(safe) == cell

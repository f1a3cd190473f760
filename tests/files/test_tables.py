"""Cells that a spreadsheet would run, made harmless and read back."""

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
        "\t=1",
        "\r=1",
        "\n=1",
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

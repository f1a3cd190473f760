"""Cells of CSV files that a spreadsheet may open, and that come back as they were."""

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet runs; the last four are full-width."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe comes first.

    Numbers stay as they are. `original` takes the apostrophe away again, and no other.
    """
    return f"'{cell}" if _is_run(cell.lstrip("'")) else cell


def original(cell: str) -> str:
    """Return what `harmless` was given; a cell that it would have left alone stays as it is."""
    return cell[1:] if cell.startswith("'") and _is_run(cell.lstrip("'")) else cell


def _is_run(cell: str) -> bool:
    return cell.startswith(FORMULA) and NUMBER.fullmatch(cell) is None

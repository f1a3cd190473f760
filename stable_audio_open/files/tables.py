"""Cells of CSV files that a spreadsheet may open, and that come back as they were."""

import re

SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with; the last four are full-width."""
FORMULA = (*SIGNS, "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet runs."""
_BEHIND, _AHEAD = r"(?<=[;|\t\r\n])", f"(?=['\"\\t\\r\\n;|]*[{re.escape(''.join(SIGNS))}])"
_PART, _MARKED_PART = re.compile(_BEHIND + _AHEAD), re.compile(f"{_BEHIND}'{_AHEAD}")
"""Where an apostrophe is missing or stands; quotes may come before the sign of a formula."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def harmless(cell: str) -> str:
    """Return a cell of which no spreadsheet takes a part for a formula: an apostrophe comes first.

    Parts are what stands behind separators and line ends too: where `;` separates by the locale,
    or somebody says so on opening, a cell is cut there. Numbers stay as they are. `original` takes
    the apostrophes away again, and no others.
    """
    inside = _PART.sub("'", cell)
    return f"'{inside}" if _is_run(cell.lstrip("'")) else inside


def original(cell: str) -> str:
    """Return what `harmless` was given; a cell that it would have left alone stays as it is."""
    whole = cell[1:] if cell.startswith("'") and _is_run(cell.lstrip("'")) else cell
    return _MARKED_PART.sub("", whole)


def _is_run(cell: str) -> bool:
    return cell.startswith(FORMULA) and NUMBER.fullmatch(cell) is None

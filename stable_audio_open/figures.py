"""Plots and tables as text for an HTML page; nothing is fetched, everything is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

ROW = 22
LABEL = 260
BAR = 420
WIDTH = 800


def bars(title: str, entries: Sequence[tuple[str, float]], *, unit: str = "") -> str:
    """Return an SVG of horizontal bars, one for each entry, the longest as wide as the plot.

    Raises:
        ValueError: When a value is negative.
    """
    if any(value < 0 for _, value in entries):
        raise ValueError(f"{title}: bars need values of 0 or more, got {list(entries)}")
    longest = max((value for _, value in entries), default=0) or 1
    height = ROW * max(1, len(entries))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">'
    ]
    for row, (label, value) in enumerate(entries):
        middle = row * ROW + ROW // 2
        length = BAR * value / longest
        shown = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
        parts.append(
            f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(_short(label))}'
            f"<title>{escape(label)}</title></text>"
            f'<rect x="{LABEL}" y="{row * ROW + 3}" width="{length:.1f}" height="{ROW - 6}"/>'
            f'<text x="{LABEL + length + 6:.1f}" y="{middle}">{shown}{escape(unit)}</text>'
        )
    return "".join([*parts, "</svg>"])


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; numbers stand to the right."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        text = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        return f'<td class="number">{text}</td>'
    return f"<td>{escape(str(value))}</td>"


def _short(label: str, most: int = 38) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"

"""Plots and tables as text for an HTML page; nothing is fetched, everything is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

ROW = 22
LABEL = 260
BAR = 420
WIDTH = 800
PLOT = 220
MARGIN = 50
COLOURS = ("#3d6fb4", "#8a8f98", "#c2452d", "#d99a1c", "#3f8f57", "#7a4fa3")


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


def steps(title: str, edges: Sequence[float], series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return an SVG of histograms over the same bins as lines, with a legend.

    Args:
        title: For who does not see it.
        edges: Of the bins, ascending.
        series: A name and a share within 0..1 for each bin.

    Raises:
        ValueError: When a series does not fit the bins, or there are more series than colours.
    """
    if len(series) > len(COLOURS):
        raise ValueError(f"{title}: got {len(series)} series, at most {len(COLOURS)} are drawn")
    for name, shares in series:
        if len(shares) != len(edges) - 1:
            raise ValueError(f"{title}: {name} has {len(shares)} bins, expected {len(edges) - 1}")
    highest = max((share for _, shares in series for share in shares), default=0) or 1
    bottom, legend = PLOT + 10, PLOT + 54
    height = legend + ROW * len(series)

    def across(edge: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (edge - edges[0]) / (edges[-1] - edges[0])

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(title)}"><line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{bottom}" '
        f'y2="{bottom}" stroke="#1c2430"/>'
        f'<text x="{MARGIN - 6}" y="14" text-anchor="end">{highest:.0%}</text>'
    ]
    for edge in edges[:: max(1, (len(edges) - 1) // 8)]:
        parts.append(
            f'<text x="{across(edge):.1f}" y="{bottom + 18}" text-anchor="middle">{edge:.3g}</text>'
        )
    for row, ((name, shares), colour) in enumerate(
        zip(series, COLOURS[: len(series)], strict=True)
    ):
        points = [f"{MARGIN},{bottom}"]
        for (left, right), share in zip(pairwise(edges), shares, strict=True):
            y = bottom - PLOT * share / highest
            points += [f"{across(left):.1f},{y:.1f}", f"{across(right):.1f},{y:.1f}"]
        points.append(f"{WIDTH - MARGIN},{bottom}")
        y = legend + ROW * row
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="2"/><line x1="{MARGIN}" x2="{MARGIN + 24}" y1="{y - 4}" y2="{y - 4}" '
            f'stroke="{colour}" stroke-width="3"/>'
            f'<text x="{MARGIN + 32}" y="{y}">{escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])

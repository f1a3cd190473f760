"""Plots and tables as text for an HTML page; nothing is fetched, everything is escaped."""

import math
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


def curve(title: str, points: Sequence[tuple[float, float]], *, marked: int | None = None) -> str:
    """Return an SVG of values over steps as a line with dots.

    Args:
        title: For who does not see it.
        points: Step and value, by ascending step; values that are not finite are left out.
        marked: Place of the point that is shown larger and with its value; none when None.
    """
    known = [place for place, (_, value) in enumerate(points) if math.isfinite(value)]
    values = [points[place][1] for place in known] or [0.0]
    low, high = min(values), max(values)
    bottom, right = PLOT + 10, WIDTH - MARGIN
    start, end = (points[0][0], points[-1][0]) if points else (0.0, 0.0)

    def place_of(step: float, value: float) -> tuple[float, float]:
        across = (step - start) / (end - start) if end > start else 0.5
        up = (value - low) / (high - low) if high > low else 0.5
        return 2 * MARGIN + (right - 2 * MARGIN) * across, bottom - 10 - (PLOT - 20) * up

    found = {place: place_of(*points[place]) for place in known}
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in found.values())
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 30}" width="{WIDTH}" height="{bottom + 30}" '
        f'role="img" aria-label="{escape(title)}">'
        f'<line x1="{2 * MARGIN}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#1c2430"/>'
        f'<polyline points="{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>'
    ]
    for value in dict.fromkeys((low, high)):
        y = place_of(start, value)[1]
        parts.append(
            f'<text x="{2 * MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for step in dict.fromkeys((start, end)):
        parts.append(
            f'<text x="{place_of(step, low)[0]:.1f}" y="{bottom + 18}" text-anchor="middle">'
            f"{step:,g}</text>"
        )
    for place, (x, y) in found.items():
        step, value = points[place]
        best = place == marked
        colour, radius = (COLOURS[2], 6) if best else (COLOURS[0], 3)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}">'
            f"<title>step {step:,g}: {value:.6g}</title></circle>"
        )
        if best:
            parts.append(
                f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{value:.4g}</text>'
            )
    return "".join([*parts, "</svg>"])

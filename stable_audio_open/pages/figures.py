"""Plots: bars, histograms, curves."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from stable_audio_open.pages.figure_style import COLOURS, house_style, new_figure
from stable_audio_open.pages.text import shortened, visible

LONGEST = 38
"""Letters of a bar's name."""


@house_style()
def bars(title: str, entries: Sequence[tuple[str, float]], *, unit: str = "") -> Figure:
    """Return horizontal bars with their values, the first entry at the top.

    Args:
        title: What is shown, for errors.
        entries: Name and value of each bar; a long name is cut off.
        unit: Written behind each value.

    Raises:
        ValueError: When a value is negative.
    """
    if any(value < 0 for _, value in entries):
        raise ValueError(f"{title}: bars need values of 0 or more, got {list(entries)}")
    figure = new_figure(0.3 + 0.3 * max(1, len(entries)))
    axes = figure.add_subplot()
    places = range(len(entries))
    drawn = axes.barh(places, [value for _, value in entries], height=0.75, color=COLOURS[0])
    shown = [f"{v:,.4g}" if isinstance(v, float) else f"{v:,}" for _, v in entries]
    axes.bar_label(drawn, [f"{value}{unit}" for value in shown], padding=4)
    axes.set_yticks(places, [shortened(visible(name), LONGEST) for name, _ in entries])
    axes.tick_params(left=False)
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return figure


@house_style()
def steps(
    title: str,
    edges: Sequence[float],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    across: str,
    up: str,
) -> Figure:
    """Return histograms over the same bins as stepped lines, with a legend.

    Args:
        title: What is shown, for errors.
        edges: Edges of the bins, ascending.
        series: A name and a share within 0..1 for each bin.
        across: Label of the axis of the bins.
        up: Label of the axis of the shares.

    Raises:
        ValueError: When a series does not fit the bins, or there are more series than colours.
    """
    if len(series) > len(COLOURS):
        raise ValueError(f"{title}: got {len(series)} series, at most {len(COLOURS)} are drawn")
    for name, shares in series:
        if len(shares) != len(edges) - 1:
            raise ValueError(f"{title}: {name} has {len(shares)} bins, expected {len(edges) - 1}")
    figure = new_figure(3.4 + 0.22 * len(series))
    axes = figure.add_subplot(xlabel=across, ylabel=up)
    lines = [
        axes.stairs(shares, edges, color=colour, linewidth=2, baseline=0)
        for (_, shares), colour in zip(series, COLOURS[: len(series)], strict=True)
    ]
    axes.margins(x=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(lines, [visible(name) for name, _ in series], loc="outside lower left")
    return figure


@house_style()
def curve(name: str, points: Sequence[tuple[float, float]], *, marked: int | None = None) -> Figure:
    """Return values over steps as a line with dots.

    Args:
        name: Name of the values.
        points: Step and value, by ascending step; values that are not finite are left out.
        marked: Place of the point that is shown larger and with its value; none when None.
    """
    known = [(step, value) for step, value in points if math.isfinite(value)]
    figure = new_figure(3)
    axes = figure.add_subplot(xlabel="step", ylabel=shortened(visible(name), 28))
    axes.plot(*_columns(known), color=COLOURS[0], marker="o", markersize=4)
    if marked is not None and math.isfinite(points[marked][1]):
        best = points[marked]
        axes.plot(*_columns([best]), color=COLOURS[2], marker="o", markersize=9, linestyle="none")
        axes.annotate(
            f"{best[1]:.4g}", best, (0, 9), textcoords="offset points", ha="center", va="bottom"
        )
    axes.margins(y=0.15)
    whole = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axes.xaxis.set_major_locator(whole)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [step for step, _ in points], [value for _, value in points]

"""Figures of a report: bars of what takes how long, and curves of how it grows."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from benchmarking.comparison import OURS
from stable_audio_open.pages.figure_style import COLOURS, WIDTH, house_style, new_figure, png

SHARE = 0.8
"""Of a part's room that its bars take."""


def draw(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return PNG files by name: `bars.png` and `growth.png`, as far as the report has them."""
    files = {}
    parts = {name: part for name, part in report["parts"].items() if _compared(part)}
    if parts:
        files["bars.png"] = png(bars(parts))
    if report["growth"]:
        files["growth.png"] = png(growth(report["growth"]))
    return files


@house_style()
def bars(parts: Mapping[str, Any]) -> Figure:
    """Return how long each side takes in each part, by the time of this package: below 1 is faster.

    Args:
        parts: Of the report; all have peers.
    """
    sides = list(dict.fromkeys(side for part in parts.values() for side in part["sides"]))
    figure = new_figure(1.4 + 0.18 * len(parts) * (len(sides) + 1))
    axes = figure.add_subplot(xlabel=f"time by that of {OURS}: median, lowest and highest")
    height = SHARE / len(sides)
    for index, side in enumerate(sides):
        colour = COLOURS[index % len(COLOURS)]  # none is left out for want of one
        # Its own ratio is 1, and has no spread.
        even = {"median": 1.0, "low": 1.0, "high": 1.0}
        shown = [
            (place, part["ratios"].get(side, even), part["sides"][side]["median"])
            for place, part in enumerate(parts.values())
            if part["sides"].get(side) is not None
        ]
        drawn = axes.barh(
            [place + (index + 0.5) * height - SHARE / 2 for place, _, _ in shown],
            [ratio["median"] for _, ratio, _ in shown],
            height=0.9 * height,
            color=colour,
            label=side,
            xerr=[
                [ratio["median"] - ratio["low"] for _, ratio, _ in shown],
                [ratio["high"] - ratio["median"] for _, ratio, _ in shown],
            ],
            error_kw={"elinewidth": 1},
        )
        axes.bar_label(drawn, [f"{seconds:.3g} s" for _, _, seconds in shown], padding=4)
    axes.axvline(1, color=COLOURS[1], linewidth=1)
    axes.set_yticks(range(len(parts)), list(parts))
    axes.tick_params(axis="y", left=False)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    figure.legend(loc="outside lower left", ncols=len(sides))
    return figure


@house_style()
def growth(grown: Mapping[str, Any]) -> Figure:
    """Return seconds over sizes, both logarithmic, with the fitted exponents.

    Args:
        grown: The report's `growth`.
    """
    figure = new_figure(4.2, WIDTH * 1.2)
    for axes, (name, case) in zip(
        figure.subplots(1, len(grown), squeeze=False)[0], grown.items(), strict=True
    ):
        _draw_curves(axes, name, case)
    return figure


def _draw_curves(axes: Axes, name: str, case: Mapping[str, Any]) -> None:
    for index, (side, curve) in enumerate(case["sides"].items()):
        colour = COLOURS[index % len(COLOURS)]
        if not curve["points"]:
            continue
        power = "" if curve["exponent"] is None else f": exponent {curve['exponent']:.2f}"
        sizes, seconds = zip(*curve["points"], strict=True)
        axes.plot(sizes, seconds, color=colour, marker="o", markersize=4, label=f"{side}{power}")
    axes.set(title=name, xlabel=case["across"], ylabel="seconds", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        # matplotlib's own are formulas.
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", rotation=45)
    if axes.lines:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.1), fontsize="small")


def _compared(part: Mapping[str, Any]) -> bool:
    return OURS in part.get("sides", {}) and bool(part["ratios"])

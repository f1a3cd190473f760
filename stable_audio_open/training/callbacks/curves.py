"""The page on which a run's measurements are drawn over its steps."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.figure_style import svg_address
from stable_audio_open.pages.figures import curve
from stable_audio_open.pages.rendering import Plot, Table, render


class Curve(NamedTuple):
    """A value over the steps of a run."""

    name: str
    best: str
    """Which step was the best; empty where no value is a number."""
    plot: Plot


def write_curves(
    path: Path,
    curves: Mapping[str, Sequence[tuple[int, float]]],
    *,
    about: Sequence[str],
    higher_is_better: Collection[str],
) -> None:
    """Write a page with one curve for each value, its best marked.

    Args:
        path: HTML file; replaced as a whole.
        curves: Steps and values, by name.
        about: What was measured and how, to stand above the curves.
        higher_is_better: Names whose best is the highest value; the lowest of the others.
    """
    page = render(
        "measurements.html.jinja",
        title=f"Measurements of {path.parent.name}",
        about=about,
        curves=[
            _curve(name, points, highest=name in higher_is_better)
            for name, points in curves.items()
        ],
    )
    replace_bytes(path, page.encode())


def _curve(name: str, points: Sequence[tuple[int, float]], *, highest: bool) -> Curve:
    place = best_place([value for _, value in points], highest=highest)
    best = ""
    if place is not None:
        step, value = points[place]
        best = f"{'highest' if highest else 'lowest'} at step {step:,}: {value:.6g}"
    address = svg_address(curve(name, points, marked=place))
    values = Table(("step", "value"), [(step, f"{value:.6g}") for step, value in points])
    return Curve(name, best, Plot(f"{name} over the steps", address, values))


def best_place(values: Sequence[float], *, highest: bool) -> int | None:
    """Return the place of the first best value; None where none is a number."""
    places = [place for place, value in enumerate(values) if value == value]
    if not places:
        return None
    choose = max if highest else min
    return choose(places, key=lambda place: values[place])

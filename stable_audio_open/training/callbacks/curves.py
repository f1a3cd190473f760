"""The page on which a run's measurements are drawn over its steps."""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.figures import curve
from stable_audio_open.pages.html import html_page


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
    sections = "\n".join(
        _section(name, points, highest=name in higher_is_better) for name, points in curves.items()
    )
    page = html_page(
        f"Measurements of {path.parent.name}",
        f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in about)}</ul>\n{sections}\n",
    )
    replace_bytes(path, page.encode())


def _section(name: str, points: Sequence[tuple[int, float]], *, highest: bool) -> str:
    best = best_place([value for _, value in points], highest=highest)
    found = ""
    if best is not None:
        step, value = points[best]
        word = "highest" if highest else "lowest"
        found = f" <small>{word} at step {step:,}: {value:.6g}</small>"
    return f"<section><h2>{escape(name)}{found}</h2>{curve(name, points, marked=best)}</section>"


def best_place(values: Sequence[float], *, highest: bool) -> int | None:
    """Return the place of the first best value; None where none is a number."""
    places = [place for place, value in enumerate(values) if value == value]
    if not places:
        return None
    choose = max if highest else min
    return choose(places, key=lambda place: values[place])

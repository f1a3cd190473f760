"""How figures look and become files: the same everywhere, whatever matplotlib's settings are."""

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import style
from matplotlib.figure import Figure

COLOURS = ("#3d6fb4", "#8a8f98", "#c2452d", "#d99a1c", "#3f8f57", "#7a4fa3")
INK = "#1c2430"
WIDTH = 8.5
"""Width of a page, in inches."""
_SETTINGS = {
    "axes.edgecolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
    # Text from outside is no formula.
    "text.parse_math": False,
    # Text stays text, which a page can show in any script.
    "svg.fonttype": "none",
    "svg.hashsalt": "stable-audio-open",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Make and save figures in here; what was set for matplotlib before holds again after it."""
    with style.context(_SETTINGS, after_reset=True), warnings.catch_warnings():
        # In measuring text. A page's reader has other fonts.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def svg_address(figure: Figure) -> str:
    """Return a figure as the address of an image, with all of it in it.

    The same data, drawn anew, give the same text.
    """
    file = io.BytesIO()
    with house_style():
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=unsaid)
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, 100 pixels an inch."""
    file = io.BytesIO()
    with house_style():
        figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()

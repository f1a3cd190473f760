import base64
import io
import math
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import StepPatch

from stable_audio_open.pages.figure_style import png, svg_address
from stable_audio_open.pages.figures import LONGEST, bars, curve, steps

HOSTILE = "<script>&\"' $a_{$ %s \N{HIRAGANA LETTER A}\x1b\udc80"
SHOWN = "<script>&\"' $a_{$ %s \N{HIRAGANA LETTER A}\\x1b\\udc80"


def svg(figure: Figure) -> bytes:
    kind, content = svg_address(figure).split(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(content)


def texts(figure: Figure) -> list[str]:
    root = ElementTree.fromstring(svg(figure))
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_bars_are_as_long_as_their_values() -> None:
    figure = bars("t", [("a", 4), ("b", 1), ("c", 0), ("d", 0.25)], unit=" s")
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [4, 1, 0, 0.25]
    assert {bar.get_x() for bar in axes.patches} == {0}
    assert len({bar.get_height() for bar in axes.patches}) == 1
    # The first at the top, each beside its name.
    assert axes.yaxis_inverted()
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert middles == pytest.approx(list(axes.get_yticks()))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c", "d"]
    assert texts(figure) == ["a", "b", "c", "d", "4 s", "1 s", "0 s", "0.25 s"]


def test_bars_that_cannot_be() -> None:
    [axes] = bars("nothing", []).axes
    assert list(axes.patches) == []
    with pytest.raises(ValueError, match="t: bars need values of 0 or more"):
        bars("t", [("a", -1)])


def test_bars_with_long_names() -> None:
    [first, *_] = texts(bars("t", [("x" * 100, 1)]))
    assert first == "x" * (LONGEST - 1) + "…"


def test_lines_of_histograms() -> None:
    """Each bin is as wide as its values, and as high as its share."""
    series = [("one <b>", (0.25, 0.75)), ("_two", (1.0, 0.0))]
    figure = steps("shares", (0.0, 0.5, 1.0), series, across="cosine", up="share")
    [axes] = figure.axes
    patches = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    assert [patch.get_data().values.tolist() for patch in patches] == [[0.25, 0.75], [1, 0]]
    assert all(patch.get_data().edges.tolist() == [0, 0.5, 1] for patch in patches)
    assert len({patch.get_edgecolor() for patch in patches}) == 2
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert top >= 1
    assert axes.get_xlim() == (0, 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("cosine", "share")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one <b>", "_two"]
    colours = [to_rgba(handle.get_color()) for handle in legend.legend_handles]
    assert colours == [patch.get_edgecolor() for patch in patches]


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="shares: one has 1 bins, expected 2"):
        steps("shares", (0.0, 0.5, 1.0), [("one", (1.0,))], across="x", up="y")
    with pytest.raises(ValueError, match="got 7 series, at most 6 are drawn"):
        steps("shares", (0.0, 1.0), [("one", (1.0,))] * 7, across="x", up="y")


def points(figure: Figure) -> list[list[tuple[float, float]]]:
    [axes] = figure.axes
    return [list(zip(*map(list, line.get_data()), strict=True)) for line in axes.lines]


def test_a_curve_over_steps() -> None:
    """What is no number is left out; the best is larger, of another colour, with its value."""
    figure = curve("loss", [(0, 3.0), (100, 1.0), (200, math.nan), (400, 2.0)], marked=1)
    assert points(figure) == [[(0, 3.0), (100, 1.0), (400, 2.0)], [(100, 1.0)]]
    [axes] = figure.axes
    line, best = axes.lines
    assert best.get_markersize() > line.get_markersize()
    assert best.get_color() != line.get_color()
    [value] = axes.texts
    assert (value.get_text(), value.xy) == ("1", (100, 1.0))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    low, high = axes.get_ylim()
    assert low < 1 < 3 < high


def test_curves_of_next_to_nothing() -> None:
    assert points(curve("empty", [])) == [[]]
    assert points(curve("no number", [(5, math.nan)])) == [[]]
    assert points(curve("endless", [(1, math.inf), (2, 1.0)], marked=0)) == [[(2, 1.0)]]
    one = curve("one", [(5, 2.0)])
    assert points(one) == [[(5, 2.0)]]
    assert texts(one).count("5") == 1
    assert points(curve("level", [(1, 2.0), (2, 2.0)])) == [[(1, 2.0), (2, 2.0)]]
    for values in ([], [(5, math.nan)], [(5, 2.0)], [(1, 2.0), (2, 2.0)]):
        assert "step" in texts(curve("loss", values))


def test_steps_are_whole_numbers() -> None:
    assert "20,000" in texts(curve("loss", [(0, 1.0), (20000, 2.0)]))
    assert not any("." in text for text in texts(curve("loss", [(0, 1), (1, 2)]))[:3])


@pytest.mark.parametrize(
    "figure",
    [
        bars("t", [(HOSTILE, 1)]),
        steps("t", (0.0, 1.0), [(HOSTILE, (1.0,))], across="x", up="y"),
        curve(HOSTILE, [(0, 1.0)]),
    ],
)
def test_text_is_neither_markup_nor_formula(figure: Figure) -> None:
    """Without a warning of a letter that our font lacks, since a browser has others."""
    assert any(SHOWN[:27] in text for text in texts(figure))
    assert b"<script" not in svg(figure)
    png(figure)


def test_control_characters_do_not_break_the_picture() -> None:
    assert SHOWN in texts(bars("t", [(HOSTILE, 1)]))


def drawn() -> Figure:
    return curve("loss", [(0, 3.0), (100, 1.0)], marked=1)


def test_the_same_data_give_the_same_bytes() -> None:
    """In another process too, and whatever was set for matplotlib before."""
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "other", "lines.linewidth": 9}):
        before = svg_address(drawn())
        assert matplotlib.rcParams["font.size"] == 30
    assert svg_address(drawn()) == before
    assert png(drawn()) == png(drawn())
    code = (
        "import sys\nfrom stable_audio_open.pages.figures import curve\n"
        "from stable_audio_open.pages.figure_style import svg_address\n"
        "print(svg_address(curve('loss', [(0, 3.0), (100, 1.0)], marked=1)))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    address, pyplot = run.stdout.splitlines()
    assert address == before
    # It would hold windows and settings for the whole process.
    assert pyplot == "False"


def test_files_do_not_say_when_they_were_made() -> None:
    assert b"<metadata" not in svg(drawn())
    assert b"date" not in svg(drawn()).lower()
    assert b"Software" not in png(drawn())


def test_png_is_as_wide_as_a_page() -> None:
    height, width, _ = imread(io.BytesIO(png(drawn()))).shape
    assert (width, height) == (850, 300)
    assert np.ptp(imread(io.BytesIO(png(drawn())))[..., :3]) > 0.5

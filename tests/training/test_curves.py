"""The page of curves: values, their best, and text from outside."""

import math
from pathlib import Path

from stable_audio_open.training.callbacks.curves import best_place, write_curves
from tests.parsed_page import HOSTILE, ParsedPage

CURVES = {
    "validation/loss": [(0, 3.0), (1000, 1.25), (2000, math.nan), (3000, 2.0)],
    "evaluation/clap": [(1000, 0.1), (3000, 0.3)],
    HOSTILE: [(0, math.nan)],
}


def page(folder: Path) -> ParsedPage:
    path = folder / HOSTILE.replace("/", "-") / "measurements.html"
    path.parent.mkdir()
    write_curves(path, CURVES, about=["how", HOSTILE], higher_is_better=["evaluation/clap"])
    return ParsedPage(path)


def test_each_value_has_a_curve_and_its_best(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert found.by_tag["h2"] == [
        "validation/loss lowest at step 1,000: 1.25",
        "evaluation/clap highest at step 3,000: 0.3",
        HOSTILE,
    ]
    loss, clap, nothing = found.pictures
    assert loss.alt == "validation/loss over the steps"
    assert {"step", "validation/loss", "1,000", "3,000"} <= set(loss.texts)
    # Beside the best.
    assert (loss.texts[-1], clap.texts[-1]) == ("1.25", "0.3")
    assert "step" in nothing.texts


def test_the_values_can_be_read(tmp_path: Path) -> None:
    rows = page(tmp_path).rows_below["validation/loss lowest at step 1,000: 1.25"]
    assert rows == [["0", "3"], ["1,000", "1.25"], ["2,000", "nan"], ["3,000", "2"]]


def test_text_from_outside_is_text(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert "script" not in found.by_tag
    assert found.by_tag["h1"] == [f"Measurements of {HOSTILE.replace('/', '-')}"]
    assert found.by_tag["li"] == ["how", HOSTILE]
    assert found.all("img", "alt")[-1] == f"{HOSTILE} over the steps"


def test_the_first_of_the_best() -> None:
    assert best_place([2.0, math.nan, 1.0, 1.0], highest=False) == 2
    assert best_place([2.0, math.nan, 1.0, 2.0], highest=True) == 0
    assert best_place([math.nan], highest=True) is None
    assert best_place([], highest=False) is None

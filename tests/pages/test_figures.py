import math
import re

import pytest

from stable_audio_open.pages.figures import curve, steps


def test_lines_of_histograms() -> None:
    """The highest share reaches the top, and each bin is as wide as its values."""
    drawn = steps("shares", (0.0, 0.5, 1.0), [("one <b>", (0.25, 0.75)), ("two", (1.0, 0.0))])
    assert "one &lt;b&gt;" in drawn
    first, second = re.findall(r'points="([^"]*)"', drawn)
    points = [tuple(map(float, point.split(","))) for point in second.split()]
    (left, bottom), (_, top), (middle, _), *_, (right, _) = points
    assert (middle - left, bottom - top) == ((right - left) / 2, 220)
    heights = [bottom - float(point.split(",")[1]) for point in first.split()]
    assert heights == [0, 55, 55, 165, 165, 0]


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="shares: one has 1 bins, expected 2"):
        steps("shares", (0.0, 0.5, 1.0), [("one", (1.0,))])
    with pytest.raises(ValueError, match="got 7 series, at most 6 are drawn"):
        steps("shares", (0.0, 1.0), [("one", (1.0,))] * 7)


def circles(drawn: str) -> list[tuple[float, float, float]]:
    found = re.findall(r'<circle cx="([^"]*)" cy="([^"]*)" r="([^"]*)"', drawn)
    return [(float(x), float(y), float(radius)) for x, y, radius in found]


def test_a_curve_over_steps() -> None:
    """As far across as its steps, the highest at the top; what is no number is left out."""
    points = [(0, 3.0), (100, 1.0), (200, math.nan), (400, 2.0)]
    drawn = curve("loss <b>", points, marked=1)
    assert 'aria-label="loss &lt;b&gt;"' in drawn
    (left, top, _), (middle, bottom, marked), (right, between, small) = circles(drawn)
    assert middle - left == pytest.approx((right - left) / 4)
    assert between == pytest.approx((top + bottom) / 2)
    assert top < bottom
    assert marked > small
    assert "step 100: 1</title>" in drawn


def test_curves_of_next_to_nothing() -> None:
    assert circles(curve("empty", [])) == []
    assert circles(curve("no number", [(5, math.nan)])) == []
    [(x, y, _)] = circles(curve("one", [(5, 2.0)]))
    assert math.isfinite(x)
    assert math.isfinite(y)
    same = circles(curve("level", [(1, 2.0), (2, 2.0)]))
    assert same[0][1] == same[1][1]

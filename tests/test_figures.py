import re

import pytest

from stable_audio_open.figures import steps


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

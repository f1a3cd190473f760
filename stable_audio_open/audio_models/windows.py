"""Where the windows of a recording begin."""

import math


def covering(length: int, window: int) -> list[int]:
    """Return the first samples of the fewest windows that cover a recording, evenly spaced.

    A recording that is shorter than a window has one, which begins with it.
    """
    count = max(1, math.ceil(length / window))
    return [round(place * (length - window) / max(1, count - 1)) for place in range(count)]


def striding(length: int, window: int, stride: int) -> list[int]:
    """Return the first samples of windows every `stride`, up to one that reaches the end.

    The last may reach past it: of windows of 10 s every 5 s, a recording of 10 s has 1 and one of
    47 s has 9.
    """
    return list(range(0, max(1, length - (window - stride)), stride))

"""How times grow: of a step with frames, of decoding with length, of a start with recordings."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarking.comparison import OURS
from benchmarking.recordings import time_start
from benchmarking.turns import Clock, Turns

STEP_FRAMES = (128, 256, 512, 1024, 2048, 4096)
DECODE_FRAMES = (32, 64, 128, 256, 512, 1024)
RECORDINGS = (1000, 5000, 20000, 100000, 500000)
ROUNDS = 3


def exponent(points: Mapping[int, float]) -> float | None:
    """Return p of the power law `seconds ~ size^p` that fits best, by least squares of logarithms.

    With fewer than two sizes there is none.
    """
    if len(points) < 2:
        return None
    x = [math.log(size) for size in points]
    y = [math.log(seconds) for seconds in points.values()]
    return statistics.linear_regression(x, y).slope


def grow(turns: Turns, case: str, sizes: Sequence[int], *, seconds: float | None) -> dict[str, Any]:
    """Return the median times of a case on each side, by frames; all sides are asked in turns.

    Args:
        turns: The sides, with their weights loaded.
        case: `step` or `decode`.
        sizes: Frames.
        seconds: See `Turns.time`; of each size.
    """
    points: dict[str, dict[int, float]] = {side: {} for side in turns.names}
    lost: set[str] = set()
    for frames in sizes:
        if not turns.clock.has_time(f"{case} of {frames} frames"):
            continue
        sides = [side for side in turns.prepare(case, frames) if side not in lost]
        times = turns.time(sides, warmup=1, repeats=ROUNDS, calls=1, seconds=seconds)
        # What is too large for a side once is so ever after.
        lost |= set(turns.names) - set(times)
        for side, spread in times.items():
            points[side][frames] = spread.median
    return {"across": "frames", "sides": {side: _curve(points[side]) for side in points}}


def grow_start(clock: Clock, sizes: Sequence[int]) -> dict[str, Any]:
    """Return the times until training data is ready, by number of recordings.

    Args:
        clock: What time is left.
        sizes: Numbers of recordings.
    """
    points = {}
    for count in sizes:
        if clock.has_time(f"start of {count} recordings"):
            points[count] = statistics.median(time_start([count], repeats=1)[count])
    return {"across": "recordings", "sides": {OURS: _curve(points)}}


def _curve(points: Mapping[int, float]) -> dict[str, Any]:
    return {
        "points": [[size, seconds] for size, seconds in points.items()],
        "exponent": exponent(points),
    }

"""How long a sound is to be: in seconds, in samples, or in bars of a loop."""

import math
from collections.abc import Sequence

from stable_audio_open.arguments.checks import (
    check_count,
    check_flag,
    check_integer,
    check_number,
    is_list,
    shown,
)
from stable_audio_open.editing.timeline import PromptsOverTime, count_items, has_timeline

LONGEST = 3600.0
"""Seconds of the longest sound."""
BEATS_PER_BAR = 4


def check_length(
    *,
    duration: float | Sequence[float] | None,
    samples: int | None,
    loop: bool,
    bars: float | None,
    bpm: float | None,
) -> None:
    """Check what can be known of a length before there is a model.

    Raises:
        TypeError: When a part of it is of a wrong type.
        ValueError: When it is given twice or in part, or is out of its range.
    """
    check_flag(loop, "loop")
    if duration is not None:
        durations = [
            check_number(one, "duration") for one in (duration if is_list(duration) else [duration])
        ]
    if samples is not None:
        check_integer(samples, "samples")
    for name, value in (("bars", bars), ("bpm", bpm)):
        if value is not None:
            check_number(value, name)
    lengths = {"duration": duration, "samples": samples, "bars": bars}
    given = [
        f"{name} {shown(value) if is_list(value) else format(value, 'g')}"
        for name, value in lengths.items()
        if value is not None
    ]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are two lengths of one sound; give one of them")
    if duration is not None:
        if not durations:
            raise ValueError("duration is an empty list; give at least one number")
        for one in durations:
            if not 0 < one <= LONGEST:
                raise ValueError(
                    f"duration must be above 0 and at most {LONGEST:g} seconds, got {one}"
                )
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if (bars is None) != (bpm is None):
        name, value, other = ("bars", bars, "bpm") if bpm is None else ("bpm", bpm, "bars")
        raise ValueError(f"{name} {value:g} needs {other} too: both make the length of a loop")
    if bars is not None and bpm is not None:
        if not loop:
            raise ValueError(f"bars {bars:g} is the length of a loop; ask for one (loop)")
        bars_duration(bars, bpm)


def seconds_of(
    duration: float | Sequence[float] | None,
    *,
    samples: int | None,
    bars: float | None,
    bpm: float | None,
    rate: int,
) -> float | list[float] | None:
    """Return the seconds of a checked length, or of each item; None where none is given.

    Raises:
        ValueError: There are too many samples.
    """
    if samples is not None:
        if samples > LONGEST * rate:
            raise ValueError(
                f"samples must be at most {LONGEST * rate:.0f} ({LONGEST:g} seconds), got {samples}"
            )
        return int(samples) / rate
    if bars is not None and bpm is not None:
        return bars_duration(bars, bpm)
    if duration is None:
        return None
    if is_list(duration):
        return [check_number(one, "duration") for one in duration]
    return check_number(duration, "duration")


def one_duration(
    duration: float | Sequence[float] | None, prompt: PromptsOverTime, kind: str
) -> float | None:
    """Return the one duration of all items.

    Args:
        duration: Seconds, or those of each item.
        prompt: What the items are made from.
        kind: What the sounds are called in errors.

    Raises:
        ValueError: Items differ in their duration, or there are not as many as durations.
    """
    if duration is None or isinstance(duration, float | int):
        return duration
    check_count(len(duration), "duration", items=count_items(prompt))
    if len(set(duration)) > 1:
        raise ValueError(
            f"{kind} of a batch last equally long, got durations {list(duration)}; make them one "
            "by one"
        )
    return duration[0]


def joint_duration(
    duration: float | Sequence[float] | None, prompt: PromptsOverTime, *, window: float
) -> float | None:
    """Return the seconds of sounds that windows make jointly; None where one window is enough.

    Raises:
        ValueError: Items differ in their duration, or there are not as many as durations.
    """
    durations = [duration] if duration is None or isinstance(duration, float | int) else duration
    if not has_timeline(prompt) and all(one is None or one <= window for one in durations):
        return None
    kind = "sounds that are longer than the window, or change their prompt,"
    length = one_duration(duration, prompt, kind)
    return window if length is None else length


def bars_duration(bars: float, bpm: float) -> float:
    """Return the seconds of bars of four beats.

    Raises:
        ValueError: When a number is not positive.
    """
    for name, value in (("bars", bars), ("bpm", bpm)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0 and finite, got {value}")
    return float(bars) * BEATS_PER_BAR * 60 / float(bpm)

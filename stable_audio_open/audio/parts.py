"""Items of a batch, and parts of all of them in seconds."""

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stable_audio_open.arguments.checks import check_number, rounded_down, type_name

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio


def chosen_items(audio: "Audio", item: int | slice) -> "Audio":
    """Return one item or a slice of them, as long as the longest.

    Raises:
        TypeError: It is neither an integer nor a slice.
        IndexError: There is no such item.
    """
    if isinstance(item, slice):
        return _chosen(audio, range(len(audio))[item])
    try:
        index = operator.index(item)
    except TypeError as error:
        raise TypeError(
            f"audio[...] takes an int or a slice of items, got {type_name(item)}; "
            "audio.cut(start, end) takes seconds"
        ) from error
    if index not in range(-len(audio), len(audio)):
        raise IndexError(f"there is no item {index} in a batch of {len(audio)}")
    return _chosen(audio, [range(len(audio))[index]])


def first_seconds(audio: "Audio", seconds: float) -> "Audio":
    """Return the start of each item; what is shorter already stays as it is.

    Raises:
        ValueError: The seconds are less than a sample.
    """
    check_number(seconds, "seconds")
    if not seconds > 0:
        raise ValueError(f"cannot trim to {seconds} s; give a positive number of seconds")
    if seconds * audio.sample_rate <= 0.5:
        raise ValueError(
            f"cannot trim to {seconds} s, less than a sample of 1/{audio.sample_rate} s"
        )
    longest = max(audio.lengths, default=0)
    samples = longest if seconds > audio.duration else round(seconds * audio.sample_rate)
    return _part(audio, 0, samples)


def cut(audio: "Audio", start: float, end: float | None) -> "Audio":
    """Return the part between two times, or to the end of each item where there is but one.

    Raises:
        ValueError: The part is empty, begins behind the end of an item, or ends behind that of
            the longest.
    """
    rate = audio.sample_rate
    check_number(start, "start")
    if end is not None:
        check_number(end, "end")
    shortest = min(audio.lengths, default=0)
    first = round(start * rate) if 0 <= start < math.inf else -1
    if not 0 <= first < shortest:
        raise ValueError(
            f"start must lie within 0 to {rounded_down(shortest / rate)} s, got {start} s"
        )
    if end is None:
        return _part(audio, first, None)
    last = round(end * rate) if 0 <= end < math.inf else -1
    if not first < last <= max(audio.lengths):
        raise ValueError(
            f"end must lie behind start ({start} s) and at most at "
            f"{rounded_down(audio.duration)} s, got {end} s"
        )
    return _part(audio, first, last)


def _chosen(audio: "Audio", items: Sequence[int]) -> "Audio":
    lengths = tuple(audio.lengths[index] for index in items)
    first, count = (items[0], len(items)) if items else (0, 0)
    if list(items) == list(range(first, first + count)):
        samples = audio.samples[first : first + count]  # a view
    else:
        samples = audio.samples[list(items)]
    return replace(
        audio,
        samples=samples[..., : max(lengths, default=0)],
        seeds=tuple(audio.seeds[index] for index in items) if audio.seeds else (),
        lengths=lengths,
        tags=tuple(audio.tags[index] for index in items) if audio.tags else (),
    )


def _part(audio: "Audio", first: int, last: int | None) -> "Audio":
    """Return the samples `first` to `last` of each item, or to its end."""
    ends = [length if last is None else min(last, length) for length in audio.lengths]
    lengths = tuple(end - first for end in ends)
    whole = lengths == audio.lengths
    return replace(
        audio,
        samples=audio.samples[..., first : max(ends, default=first)],
        lengths=lengths,
        loop=audio.loop and whole,
        tags=audio.tags if whole else (),
    )

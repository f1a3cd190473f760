"""Spans of a sound: in seconds, in samples, and in frames of a model's window."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import (
    check_pair,
    is_list,
    is_pair,
    rounded_down,
    wrong_type,
)

Spans: TypeAlias = Sequence[tuple[float, float]]
"""(start, end) of each, in seconds."""


class Span(NamedTuple):
    """A part of a sound: its first sample, and the first one behind it."""

    start: int
    end: int


def check_spans(spans: Spans, *, samples: int, sample_rate: int) -> list[Span]:
    """Return spans in samples and in order; those that overlap or touch become one.

    Args:
        spans: What the user gave, in seconds.
        samples: Length of the sound.
        sample_rate: Samples per second.

    Raises:
        TypeError: When they are no pairs of numbers.
        ValueError: When there is none, or one is empty or not within the sound.
    """
    pairs = "pairs (start, end) in seconds"
    if not is_list(spans):
        raise wrong_type(spans, "spans", f"a list of {pairs}")
    found = []
    for pair in spans:
        if not is_pair(pair):
            raise wrong_type(pair, "spans", pairs)
        start, end = check_pair(pair, "spans")
        if not 0 <= start < end < math.inf:
            raise ValueError(
                f"a span must start at 0 s or later and end behind its start, got ({start:g}, "
                f"{end:g})"
            )
        span = Span(round(start * sample_rate), round(end * sample_rate))
        if span.end > samples:
            raise ValueError(
                f"span ({start:g}, {end:g}) ends behind the sound, which is "
                f"{rounded_down(samples / sample_rate)} s long; to make it longer, use extend"
            )
        if span.start == span.end:
            raise ValueError(
                f"span ({start:g}, {end:g}) is shorter than a sample of 1/{sample_rate} s"
            )
        found.append(span)
    if not found:
        raise ValueError("spans is empty; give at least one (start, end) in seconds")
    return merged(found)


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return spans in order; those that overlap or touch become one."""
    one_by_one: list[Span] = []
    for span in sorted(spans):
        if one_by_one and span.start <= one_by_one[-1].end:
            last = one_by_one.pop()
            span = Span(last.start, max(last.end, span.end))
        one_by_one.append(span)
    return one_by_one


def place_window(spans: Sequence[Span], *, samples: int, window: int, hop: int) -> int:
    """Return the first sample of the window to work on: a multiple of `hop`.

    A sound that fits is worked on from its start; of a longer one, a window around the spans.

    Args:
        spans: In samples and in order.
        samples: Length of the sound.
        window: Samples of the model's window.
        hop: Samples per latent frame.

    Raises:
        ValueError: When the spans do not fit into one window.
    """
    if samples <= window:
        return 0
    first, end = spans[0].start, spans[-1].end
    centred = (first + end - window) // 2
    latest = -(-(samples - window) // hop) * hop
    start = min(max(0, centred // hop * hop), latest)
    if start + window < end:  # by less than a frame
        start = -(-(end - window) // hop) * hop
    if start > first or start + window < end:
        raise ValueError(
            f"the spans reach over {end - first} samples, and the model works on {window} at once "
            "with what is around them; edit them in several calls"
        )
    return start


def kept_frames(
    spans: Sequence[Span], *, start: int, frames: int, hop: int, margin: int = 0
) -> Float[Tensor, "frames"]:
    """Return the mask of a window: 1 where a frame and `margin` more on either side are kept.

    Args:
        spans: In samples.
        start: First sample of the window.
        frames: Latent frames of the window.
        hop: Samples per latent frame.
        margin: Frames beside a span that are generated too.
    """
    kept = torch.ones(frames)
    for span in spans:
        first = (span.start - start) // hop - margin
        end = -(-(span.end - start) // hop) + margin
        kept[max(first, 0) : max(end, 0)] = 0
    return kept


def kept_parts(spans: Sequence[Span], *, samples: int) -> list[Span]:
    """Return what lies before, between and behind the spans; parts may be empty."""
    edges = [0, *(edge for span in spans for edge in span), samples]
    return [Span(start, end) for start, end in list(pairwise(edges))[::2]]

"""The music gate: recordings with enough music in them go to copyright review (section 3.1)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.settings import Counting

# Frames are counted in fractions of a second that binary numbers do not have.
ROUNDING = 1e-6


def class_columns(wanted: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the columns of classes by name.

    Raises:
        ValueError: The tagger has no such class.
    """
    for name in wanted:
        if name not in classes:
            hint = did_you_mean(name, classes) or "; see its list"
            raise ValueError(f'the tagger has no class "{name}"{hint}')
    return [list(classes).index(name) for name in wanted]


def music_seconds(
    probabilities: Float[Tensor, "frames classes"],
    *,
    columns: Sequence[int],
    seconds_per_frame: float,
    threshold: float,
    counting: Counting,
) -> float:
    """Return for how long one of some classes is at a threshold or over it.

    Args:
        probabilities: Within 0..1.
        columns: Columns of the classes of music; which is active may change from frame to frame.
        seconds_per_frame: Time from one frame to the next.
        threshold: Least probability of an active class.
        counting: `total`, or `contiguous` for the longest stretch.
    """
    return active_seconds(
        probabilities[:, list(columns)].amax(dim=1),
        seconds_per_frame=seconds_per_frame,
        threshold=threshold,
        counting=counting,
    )


def active_seconds(
    probability: Float[Tensor, "frames"],
    *,
    seconds_per_frame: float,
    threshold: float,
    counting: Counting,
) -> float:
    """Return for how long a probability is at a threshold or over it; see `music_seconds`."""
    active = probability >= threshold
    frames = int(active.sum()) if counting == "total" else _longest(active)
    return frames * seconds_per_frame


def critical_threshold(
    probability: Float[Tensor, "frames"],
    *,
    seconds_per_frame: float,
    seconds: float,
    counting: Counting,
) -> float | None:
    """Return the highest threshold at which a probability is active for so many seconds.

    None where there are fewer seconds than that.
    """
    frames = math.ceil(seconds / seconds_per_frame - ROUNDING)
    if len(probability) < frames:
        return None
    if counting == "total":
        return float(probability.topk(frames).values[-1])
    # Of every stretch of that length its weakest frame, and of these the strongest.
    return float(_least_of_stretches(probability, frames).max())


def _longest(active: Bool[Tensor, "frames"]) -> int:
    pauses = torch.nn.functional.pad(~active, (1, 1), value=True).nonzero().flatten()
    return int(pauses.diff().max()) - 1


def _least_of_stretches(values: Float[Tensor, "frames"], length: int) -> Float[Tensor, "stretches"]:
    """Return the minimum of each stretch of so many frames, by doubling."""
    covered, least = 1, values
    while covered < length:
        step = min(covered, length - covered)
        least = torch.minimum(least[:-step], least[step:])
        covered += step
    return least

"""The squared maximum mean discrepancy (MMD) of sets of vectors, and how sure it is.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), with k(x, y) = exp(-|x - y|^2 / (2 s^2)). The
means over pairs of different units are unbiased estimates of these (Gretton et al., "A kernel
two-sample test", 2012, lemma 6; their equation 4 where both sets have the same units). It is
between 0 and 2; an estimate can be below 0.

Windows of one recording are alike: of 165 recordings of 1 to 4 windows, two sets of 55 drawn at
random are 0.0001 apart on average (200 draws, musicnn), and 0.005 where pairs of one recording
count.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_integer, check_number
from stable_audio_open.evaluation.kernel_distance.bandwidth import median_distance
from stable_audio_open.evaluation.kernel_distance.pairs import BLOCK, Pairs, sum_pairs
from stable_audio_open.evaluation.kernel_distance.resampling import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    draw_changes,
    estimate,
)
from stable_audio_open.evaluation.kernel_distance.sample import Sample, make_sample

FEWEST_RESAMPLES, MOST_RESAMPLES = 100, 100_000
"""The most take 4 bytes for each unit."""


class Comparison(NamedTuple):
    """How far a set is from a reference, and whether another is nearer."""

    distance: Estimate
    """Squared MMD of the set."""
    distance_of_all_pairs: float
    """The same with pairs of one unit, as others estimate it who take each vector for a unit."""
    other: Estimate | None
    """Squared MMD of the other set."""
    difference: Estimate | None
    """That of the set less that of the other."""


def squared_mmd(
    generated: Float[Tensor, "generated width"],
    reference: Float[Tensor, "reference same_width"],
    *,
    bandwidth: float | None = None,
) -> float:
    """Return the unbiased estimate for vectors that are all independent of each other.

    Args:
        generated: Vectors of the set that is judged.
        reference: Vectors of the reference.
        bandwidth: Of the kernel; None takes `median_distance` of the reference.

    Raises:
        UnmeasurableError: There are fewer than two of either, or half of the reference is equal.
        ValueError: A number is not finite, or the widths differ.
    """
    ours = make_sample(generated)
    theirs = make_sample(reference, torch.arange(len(reference)) + len(generated))
    width = median_distance(reference).value if bandwidth is None else bandwidth
    none = torch.zeros(0, len(generated) + len(reference))
    own, other = (sum_pairs(sample, None, width, changes=none) for sample in (ours, theirs))
    return own.mean + other.mean - 2 * sum_pairs(ours, theirs, width, changes=none).mean


def check_resampling(*, resamples: int, confidence: float) -> None:
    """Check how an interval is asked for, before the recordings are embedded.

    Raises:
        TypeError: One is no number, or the resamples are no integer.
        ValueError: There are fewer than 100 resamples, more than 100,000, or the confidence is not
            within 0.5..1.
    """
    check_integer(resamples, "resamples")
    check_number(confidence, "confidence")
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(
            f"{resamples} resamples make no interval; give at least {FEWEST_RESAMPLES}"
        )
    if resamples > MOST_RESAMPLES:
        raise ValueError(f"resamples must be at most {MOST_RESAMPLES:,}, got {resamples:,}")
    if not 0.5 <= confidence < 1:
        raise ValueError(
            f"confidence must be at least 0.5 and below 1, got {confidence:g}; 0.95 is usual"
        )


def compare(
    generated: Sample,
    reference: Sample,
    bandwidth: float,
    *,
    against: Sample | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    block: int = BLOCK,
) -> Comparison:
    """Return the squared MMD of a set to a reference with its interval, and of another set.

    Args:
        generated: The set that is judged.
        reference: The set that both are compared with.
        bandwidth: Of the kernel, above 0.
        against: The other set. Units that it shares with the first are resampled for both at once,
            so that what they have in common cancels in the difference.
        resamples: Resamples of the units, 100 to 100,000.
        confidence: Share of the intervals that hold the true value.
        seed: Seed of the resamples.
        block: Vectors on a side of what is computed at once.

    Raises:
        ValueError: A number is out of its range, or widths differ.
    """
    check_resampling(resamples=resamples, confidence=confidence)
    samples = [generated, reference] + ([] if against is None else [against])
    changes = draw_changes(samples, resamples=resamples, seed=seed)

    def pairs(first: Sample, second: Sample | None = None) -> Pairs:
        return sum_pairs(first, second, bandwidth, changes=changes, block=block)

    theirs = (1.0, pairs(reference))
    own = [(1.0, pairs(generated)), (-2.0, pairs(generated, reference))]
    distance = estimate([*own, theirs], changes, confidence=confidence)
    of_all = sum(factor * part.mean_of_all for factor, part in [*own, theirs])
    if against is None:
        return Comparison(distance, of_all, None, None)
    other = [(1.0, pairs(against)), (-2.0, pairs(against, reference))]
    # What both have in common cancels to the bit, and so do the reference's own pairs.
    less = [
        part
        for (factor, one), (_, two) in zip(own, other, strict=True)
        for part in ((factor, one), (-factor, two))
    ]
    return Comparison(
        distance,
        of_all,
        other=estimate([*other, theirs], changes, confidence=confidence),
        difference=estimate(less, changes, confidence=confidence),
    )

"""How sure a kernel distance is: a bootstrap of the units that were drawn.

Copies of a recording, as drawing with replacement makes them, have a kernel of 1 with each other,
and in the closed form of the unbiased estimator these pairs raise every resample. Here pairs of one
unit never count, and what is resampled is weights: with v = (times drawn) - 1, a resample is

    T + sum_g v_g L_g + sum_(g,h) v_g v_h H_gh,

the estimate, by how much each unit raises it (it less the estimate without the unit), and what
pairs of units add (the parts of a U-statistic, after Hoeffding). The second sum has the variance
that it should have (Arcones and Gine, "On the bootstrap of U and V statistics", 1992), V2. The
first is too wide, since each L_g is itself a mean with noise: its variance V1 is 2 V2 too large on
average, so that the resamples of equal distributions would have 3 times the variance of their
distance. It is scaled by sqrt(1 - V2 / V1), so that the resamples have the variance V1 of the
jackknife, which on average is not too small (Efron and Stein, "The jackknife estimate of
variance", 1981). Far from 0 V2 is next to nothing, and so is the change.

The interval lies between quantiles of the resamples ("percentile"). A distance that came out low by
chance has resamples that are close together too, so that it is above it that the true one would be
missed; there lies their long side. An interval may begin below 0, as T may be, although the
distance itself never is. The bandwidth is taken for given, not resampled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stable_audio_open.evaluation.kernel_distance.pairs import Pairs
from stable_audio_open.evaluation.kernel_distance.sample import Sample

RESAMPLES = 1000
CONFIDENCE = 0.95
ROUNDING = 1e-12
"""Of sums of kernels, which are 0 to 1."""
DRAWN = 1 << 20
"""Units that are drawn at once."""


class Estimate(NamedTuple):
    """A number and the interval about it."""

    value: float
    low: float
    high: float

    @property
    def leaves_out_0(self) -> bool:
        """Whether 0 is outside of the interval, by more than rounding."""
        return self.low > ROUNDING or self.high < -ROUNDING


def draw_changes(
    samples: Sequence[Sample], *, resamples: int, seed: int
) -> Float[Tensor, "resamples units"]:
    """Return by how much each resample changes the weight of each unit.

    Units are drawn with replacement, as many as there are, apart for those that are in other sets:
    so the sizes of all sets stay, and where two sets have the same units these are drawn for both
    at once, which makes a difference of theirs as sure as pairs allow. A unit that is the only one
    of its kind is drawn in every resample.

    Args:
        samples: The sets that are compared, one or more.
        resamples: How many.
        seed: Seed of the draws.
    """
    kinds = _kinds(samples)
    changes = torch.zeros(resamples, len(kinds))
    generator = torch.Generator().manual_seed(seed)
    for kind in kinds.unique():
        places = (kinds == kind).nonzero()[:, 0]
        count = len(places)
        if kind == 0 or count == 1:
            continue
        for some in changes.split(max(1, DRAWN // count)):
            drawn = torch.randint(count, (len(some), count), generator=generator)
            times = torch.zeros(drawn.shape).scatter_add_(1, drawn, torch.ones(drawn.shape))
            some[:, places] = times - 1
    return changes


def estimate(
    parts: Sequence[tuple[float, Pairs]],
    changes: Float[Tensor, "resamples units"],
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return a sum of means of the kernel with its interval.

    Args:
        parts: Means, and what each is multiplied by.
        changes: Those that the means were computed with.
        confidence: Share of the intervals that hold the true value, within 0..1.
    """
    value = sum(factor * pairs.mean for factor, pairs in parts)
    pull, curvature = changes.new_zeros(()).double(), changes.new_zeros(()).double()
    for factor, pairs in parts:
        pull = pull + factor * pairs.pull
        curvature = curvature + factor * pairs.curvature
    first = torch.cat([part.double() @ pull for part in changes.split(256)])
    wide, narrow = float(first.var()), float(curvature.var())
    scale = max(0.0, 1 - narrow / wide) ** 0.5 if wide else 0.0
    off = scale * first + curvature
    tail = (1 - confidence) / 2
    low, high = off.quantile(tail), off.quantile(1 - tail)
    return Estimate(value, value + float(low), value + float(high))


def _kinds(samples: Sequence[Sample]) -> Int64[Tensor, "units"]:
    """Return a number for each unit that says which sets have it."""
    units = 1 + max(int(sample.units[-1]) for sample in samples)
    kinds = torch.zeros(units, dtype=torch.int64)
    for place, sample in enumerate(samples):
        kinds += (torch.bincount(sample.units, minlength=units) > 0).long() << place
    return kinds

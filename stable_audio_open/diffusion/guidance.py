"""Classifier-free guidance on the velocity (Ho and Salimans 2021)."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Velocity
from stable_audio_open.diffusion.schedule import time_from_sigma

VelocityPair: TypeAlias = Callable[
    [Float[Tensor, "batch channels time"], float],
    tuple[Float[Tensor, "batch channels time"], Float[Tensor, "batch channels time"]],
]
"""(x_t, t) -> (v given the conditioning, v given the null or negative conditioning)."""


Scale: TypeAlias = float | Float[Tensor, "batch 1 1"]
"""A guidance scale of a whole batch, or of each item."""


def guide(
    conditional: Float[Tensor, "batch channels time"],
    null: Float[Tensor, "batch channels time"],
    *,
    scale: Scale,
    rescale: float = 0.0,
) -> Float[Tensor, "batch channels time"]:
    """The guided velocity null + scale (conditional - null).

    Args:
        conditional: v given the conditioning.
        null: v given the null or negative conditioning.
        scale: Guidance scale; 1 gives `conditional`, 0 gives `null`.
        rescale: In [0, 1], how far the spread (unbiased standard deviation over the channels of
            a frame) is brought back to that of `conditional` (Lin et al. 2024, section 3.4). A
            frame without any spread stays as it is.
    """
    v = null + scale * (conditional - null)
    if rescale == 0:
        return v
    spread = v.std(dim=1, keepdim=True)
    ratio = torch.where(spread > 0, conditional.std(dim=1, keepdim=True) / spread, 1.0)
    return v * (rescale * ratio + (1 - rescale))


def scale_curve(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Return t -> the guidance scale, linear between points (t, scale) and level beyond them."""
    points = sorted(points)

    def scale_at(t: float) -> float:
        later = bisect.bisect_right([at for at, _ in points], t)
        if later in (0, len(points)):
            return points[max(0, later - 1)][1]
        (t0, low), (t1, high) = points[later - 1 : later + 1]
        return low + (high - low) * (t - t0) / (t1 - t0)

    return scale_at


def check_guidance(scale: float, rescale: float, interval: tuple[float, float]) -> None:
    """Check the settings of `GuidedVelocity`.

    Raises:
        ValueError: When one is out of its range.
    """
    if not math.isfinite(scale):
        raise ValueError(f"guidance scale must be a finite number, got {scale}")
    if not 0 <= rescale <= 1:
        raise ValueError(f"guidance rescale must be between 0 and 1, got {rescale}")
    low, high = interval
    if not 0 <= low <= high:
        raise ValueError(
            f"guidance interval must be (low, high) in sigma with 0 <= low <= high, "
            f"got ({low}, {high})"
        )


@dataclass(frozen=True, kw_only=True)
class GuidedVelocity:
    """A velocity with guidance, itself a velocity.

    The null half is evaluated only where it counts: not for scale 1 and not outside of the
    interval (Kynkaanniemi et al. 2024), where v is the conditional one.
    """

    pair: VelocityPair
    """Both halves, for instance from one call of the model on a doubled batch."""
    conditional: Velocity
    """The conditional half alone."""
    scale: Scale | Callable[[float], Scale]
    """Guidance scale, or t -> the scale there."""
    rescale: float = 0.0
    """See `guide`; needs two channels or more."""
    interval: tuple[float, float] = (0.0, math.inf)
    """Lowest and highest noise level that is guided, both included: of v-models in sigma, of flows
    in t."""
    time: Callable[[float], float] = time_from_sigma
    """From a level of the interval to the model's time."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        scale = self.scale if isinstance(self.scale, float | int) else 1.0
        check_guidance(scale, self.rescale, self.interval)

    def __call__(
        self, x: Float[Tensor, "batch channels time"], t: float
    ) -> Float[Tensor, "batch channels time"]:
        """The guided v at time t, mixed in x's precision."""
        scale = self.scale_at(t)
        if isinstance(scale, float | int) and scale == 1:
            return self.conditional(x, t)
        conditional, null = self.pair(x, t)
        return guide(conditional.to(x.dtype), null.to(x.dtype), scale=scale, rescale=self.rescale)

    def scale_at(self, t: float) -> Scale:
        """The scale at time t: 1 outside of the interval, where the null half does not count."""
        low, high = self.interval
        if not self.time(low) <= t <= self.time(high):
            return 1.0
        return self.scale(t) if callable(self.scale) else self.scale

"""Adaptive projected guidance on x0 (Sadat, Hilliges and Weber 2024)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser, Velocity
from stable_audio_open.diffusion.guidance import GuidedVelocity, Scale
from stable_audio_open.nn.device import widened


@dataclass(frozen=True, kw_only=True)
class Projection:
    """How the step of guidance, from the null x0 to the conditional one, is changed.

    The defaults change nothing: they are classifier-free guidance.

    Raises:
        ValueError: When one is out of its range.
    """

    parallel: float = 1.0
    """Factor of its part that is parallel to the conditional x0, 0..1: it saturates."""
    norm: float = math.inf
    """Longest root mean square over an item; a longer step is shortened to it. Above 0."""
    momentum: float = 0.0
    """Share of the step before that is added, above -1 and below 1; negative ones lead away from
    it (-0.5 in the paper)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.parallel <= 1:
            raise ValueError(f"guidance parallel must be between 0 and 1, got {self.parallel}")
        if not self.norm > 0:
            raise ValueError(f"guidance norm must be above 0, got {self.norm}")
        if not -1 < self.momentum < 1:
            raise ValueError(f"guidance momentum must lie between -1 and 1, got {self.momentum}")


def project(
    step: Float[Tensor, "batch channels time"],
    conditional: Float[Tensor, "batch channels time"],
    *,
    parallel: float,
    norm: float,
) -> Float[Tensor, "batch channels time"]:
    """Shorten a step to `norm`, and multiply its part along the conditional x0 by `parallel`.

    Both are taken over an item, in double precision where the device has it.
    """
    rms = widened(step).square().mean(dim=(1, 2), keepdim=True).sqrt()
    step = step * (norm / rms.clamp(min=1e-30)).clamp(max=1.0).to(step.dtype)
    unit = widened(conditional)
    unit = unit / unit.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-30)
    along = ((widened(step) * unit).sum(dim=(1, 2), keepdim=True) * unit).to(step.dtype)
    return step - (1 - parallel) * along


@dataclass(kw_only=True)
class ProjectedGuidance:
    """A guided denoiser: x0 = x0_c + (scale - 1) project(x0_c - x0_n + momentum * step before).

    It keeps the step before, for the momentum. A call at a higher noise level than the one before
    begins a new run, with nothing kept; `reset` begins one at any level.
    """

    guided: GuidedVelocity
    """Both halves, the scale, and where it applies; its own rescale is not used."""
    denoiser: Callable[[Velocity], Denoiser]
    """From a velocity to the denoiser of the model's objective."""
    projection: Projection
    """How the step is changed."""
    _before: Tensor | None = field(default=None, init=False)
    _level: float = field(default=math.inf, init=False)
    """Noise level of the call before."""

    def reset(self) -> None:
        """Forget the step before."""
        self._before, self._level = None, math.inf

    def __call__(
        self, x: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        """The guided x0 of x = x0 + sigma * noise."""
        if sigma > self._level:
            self.reset()
        self._level = sigma
        found: list[Scale] = []

        def both(x: Tensor, t: float) -> Tensor:
            scale = self.guided.scale_at(t)
            found.append(scale)
            half = x[: len(x) // 2]
            if isinstance(scale, float | int) and scale == 1:
                return self.guided.conditional(half, t).repeat(2, 1, 1)
            return torch.cat(self.guided.pair(half, t))

        conditional, null = self.denoiser(both)(x.repeat(2, 1, 1), sigma).chunk(2)
        [scale] = found
        if isinstance(scale, float | int) and scale == 1:
            return conditional
        step = conditional - null
        if self.projection.momentum:
            if self._before is not None:
                step = step + self.projection.momentum * self._before
            self._before = step
        projected = project(
            step, conditional, parallel=self.projection.parallel, norm=self.projection.norm
        )
        return conditional + (scale - 1) * projected

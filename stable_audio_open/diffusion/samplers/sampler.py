"""What every sampler takes, and the walk down the noise levels that they share."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise

Callback: TypeAlias = Callable[[int, int, Tensor], None]
"""(step, steps, x0), called once a step with the denoised latents; step counts from 0."""


@runtime_checkable
class Sampler(Protocol):
    """A pure function that takes latents from sigmas[0] to sigmas[-1], which usually is 0.

    `x` is x0 + sigmas[0] * noise in float32; the state keeps its precision and device, and no
    scalar is ever read back from the device. Whether gradients are kept is the caller's choice.
    Keywords of one sampler alone have defaults. A run over a part of the levels forgets, at its
    end, what was evaluated before: the next one begins with an empty history.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        x: Float[Tensor, "batch channels time"],
        sigmas: Sequence[float],
        *,
        noise: Noise | None = None,
        callback: Callback | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """Sample x0, or x at the last level where that is above 0.

        Args:
            denoiser: (x, sigma) -> x0.
            x: Latents at noise level sigmas[0]; the noise alone where that is infinite.
            sigmas: Strictly descending noise levels.
            noise: Noise for each step; samplers of the ODE ignore it.
            callback: Called as callback(step, steps, x0) after each evaluation at sigmas[step].
        """
        ...


def step_pairs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """The steps (sigma, next sigma) of a run, checked.

    Raises:
        ValueError: If there is no step, or the levels do not fall strictly, or fall below 0.
    """
    levels = list(itertools.pairwise(sigmas))
    if not levels or not sigmas[-1] >= 0 or not all(sigma > after for sigma, after in levels):
        shown = ", ".join(f"{sigma:g}" for sigma in sigmas[:4])
        raise ValueError(
            f"sigmas must fall strictly, to 0 at the lowest, got {len(sigmas)} levels: "
            f"{shown}{', ...' if len(sigmas) > 4 else ''}"
            f"{f', {sigmas[-1]:g}' if len(sigmas) > 4 else ''}"
        )
    return levels


Function = TypeVar("Function", bound=Callable[..., Tensor])


def from_pure_noise(sampler: Function) -> Function:
    """Let a sampler start at an infinite sigma, where x is the noise itself.

    Of every solver in sigma or log sigma, the limit of the first step is Euler's:
    x0 + sigmas[1] * x, after which nothing is known of x0's slope. Fresh noise in its place would
    be distributed alike, since x0 there does not depend on x.
    """

    @functools.wraps(sampler)
    def sample(
        denoiser: Denoiser,
        x: Tensor,
        sigmas: Sequence[float],
        *,
        callback: Callback | None = None,
        **keywords: Any,
    ) -> Tensor:
        if len(sigmas) < 2 or sigmas[0] != math.inf:
            return sampler(denoiser, x, sigmas, callback=callback, **keywords)
        steps = len(step_pairs(sigmas))
        x0 = denoiser(x, math.inf)
        if callback is not None:
            callback(0, steps, x0)
        x = x0 + sigmas[1] * x if sigmas[1] else x0
        if steps == 1:
            return x

        def report(step: int, _: int, denoised: Tensor) -> None:
            if callback is not None:
                callback(step + 1, steps, denoised)

        return sampler(denoiser, x, sigmas[1:], callback=report, **keywords)

    return cast(Function, sample)

"""What every sampler takes, and the walk down the noise levels that they share."""

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise

Callback: TypeAlias = Callable[[int, int, Tensor], None]
"""(step, steps, x0), called once a step with the denoised latents; step counts from 0."""


@runtime_checkable
class Sampler(Protocol):
    """A pure function that takes latents from sigmas[0] to 0; others' keywords have defaults.

    `x` is x0 + sigmas[0] * noise in float32; the state keeps its precision and device, and no
    scalar is ever read back from the device. Whether gradients are kept is the caller's choice.
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
        """Sample x0.

        Args:
            denoiser: (x, sigma) -> x0.
            x: Latents at noise level sigmas[0].
            sigmas: Strictly descending noise levels that end in 0.
            noise: Noise for each step; samplers of the ODE ignore it.
            callback: Called as callback(step, steps, x0) after each evaluation at sigmas[step].
        """
        ...


def step_pairs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """The steps (sigma, next sigma) of a run, checked.

    Raises:
        ValueError: If there is no step, or the levels do not fall strictly to 0.
    """
    levels = list(itertools.pairwise(sigmas))
    if not levels or sigmas[-1] != 0 or not all(sigma > after for sigma, after in levels):
        shown = ", ".join(f"{sigma:g}" for sigma in sigmas[:4])
        raise ValueError(
            f"sigmas must fall strictly and end in 0, got {len(sigmas)} levels: "
            f"{shown}{', ...' if len(sigmas) > 4 else ''}"
            f"{f', {sigmas[-1]:g}' if len(sigmas) > 4 else ''}"
        )
    return levels

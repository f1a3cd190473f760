"""Euler's and Heun's methods on the probability-flow ODE dx/dsigma = (x - x0) / sigma."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise
from stable_audio_open.diffusion.samplers.sampler import Callback, from_pure_noise, step_pairs


@from_pure_noise
def euler(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,  # noqa: ARG001, part of every sampler
    callback: Callback | None = None,
) -> Float[Tensor, "batch channels time"]:
    """Euler's method, first order (Karras et al. 2022, algorithm 1 without its correction)."""
    steps = step_pairs(sigmas)
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        x = x + (sigma_next - sigma) / sigma * (x - x0)
    return x


@from_pure_noise
def heun(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,  # noqa: ARG001, part of every sampler
    callback: Callback | None = None,
) -> Float[Tensor, "batch channels time"]:
    """Heun's method, second order, two evaluations a step (Karras et al. 2022, algorithm 1)."""
    steps = step_pairs(sigmas)
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        d = (x - x0) / sigma
        ahead = x + (sigma_next - sigma) * d
        if sigma_next > 0:
            d_ahead = (ahead - denoiser(ahead, sigma_next)) / sigma_next
            x = x + (sigma_next - sigma) / 2 * (d + d_ahead)
        else:
            x = ahead
    return x

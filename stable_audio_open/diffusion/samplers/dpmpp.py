"""DPM-Solver++ (Lu et al. 2022): multistep solver of the ODE in lambda = -log sigma."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise
from stable_audio_open.diffusion.samplers.sampler import Callback, from_pure_noise, step_pairs


@from_pure_noise
def dpmpp_2m(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,  # noqa: ARG001, part of every sampler
    callback: Callback | None = None,
) -> Float[Tensor, "batch channels time"]:
    """DPM-Solver++(2M), second order, one evaluation a step (algorithm 2).

    The first step and the one to sigma = 0 are of first order.
    """
    steps = step_pairs(sigmas)
    x0_last: Tensor | None = None
    h_last = 0.0
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        if sigma_next == 0:
            return x0
        h = math.log(sigma / sigma_next)
        d = x0 if x0_last is None else x0 + h / (2 * h_last) * (x0 - x0_last)
        x = sigma_next / sigma * x - math.expm1(-h) * d
        x0_last, h_last = x0, h
    return x

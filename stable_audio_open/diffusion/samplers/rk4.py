"""The classical Runge-Kutta method in the time of flows."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise
from stable_audio_open.diffusion.samplers.sampler import Callback, step_pairs
from stable_audio_open.diffusion.schedule import flow_time_from_sigma, sigma_from_flow_time


def rk4(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,  # noqa: ARG001, part of every sampler
    callback: Callback | None = None,
) -> Float[Tensor, "batch channels time"]:
    """Runge-Kutta's method of fourth order, four evaluations a step and three in the last.

    It solves dz/dt = (z - x0) / t for z = x / (1 + sigma) and t = sigma / (1 + sigma), in which
    both ends are regular: at t = 1 z is the noise, and at t = 0, where the expected noise is 0,
    the slope is -z. Any denoiser will do, also that of a v-model.
    """
    steps = step_pairs(sigmas)
    z = x if sigmas[0] == math.inf else x / (1 + sigmas[0])

    def denoise(z: Tensor, t: float) -> Tensor:
        sigma = sigma_from_flow_time(t)
        return denoiser(z if t == 1 else z * (1 + sigma), sigma)

    def slope(z: Tensor, t: float) -> Tensor:
        return -z if t == 0 else (z - denoise(z, t)) / t

    for step, (sigma, sigma_next) in enumerate(steps):
        t, t_next = flow_time_from_sigma(sigma), flow_time_from_sigma(sigma_next)
        h, middle = t_next - t, (t + t_next) / 2
        x0 = denoise(z, t)
        if callback is not None:
            callback(step, len(steps), x0)
        k_1 = (z - x0) / t
        k_2 = slope(z + h / 2 * k_1, middle)
        k_3 = slope(z + h / 2 * k_2, middle)
        k_4 = slope(z + h * k_3, t_next)
        z = z + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    return z * (1 + sigmas[-1])

"""DPM-Solver++ for the diffusion SDE (Lu et al. 2022, section 5), multistep.

In lambda = -log sigma, the drift is solved over a step h stretched to (1 + eta) h, and noise of
variance sigma_next^2 (1 - exp(-2 eta h)) is added; eta = 0 is the ODE.
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise, add_noise, required
from stable_audio_open.diffusion.samplers.sampler import Callback, from_pure_noise, step_pairs


@from_pure_noise
def dpmpp_2m_sde(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: str = "midpoint",
) -> Float[Tensor, "batch channels time"]:
    """DPM-Solver++(2M) SDE, one evaluation a step; with eta = 0 and "midpoint", `dpmpp_2m`.

    Args:
        denoiser: (x, sigma) -> x0.
        x: Latents at noise level sigmas[0].
        sigmas: Strictly descending noise levels.
        noise: Noise for each step; needed unless eta or s_noise is 0.
        callback: Called as callback(step, steps, x0).
        eta: Share of fresh noise, 0 or more.
        s_noise: Factor on the fresh noise.
        solver_type: "midpoint" or "heun": how the slope of x0 enters the step.

    Raises:
        ValueError: If noise is missing or solver_type is unknown.
    """
    if solver_type not in ("midpoint", "heun"):
        raise ValueError(f'solver_type must be "midpoint" or "heun", got "{solver_type}"')
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
        stretched = (1 + eta) * h
        phi_1 = -math.expm1(-stretched)
        x = math.exp(-stretched) * x + phi_1 * x0
        if x0_last is not None:
            phi = phi_1 / 2 if solver_type == "midpoint" else 1 - phi_1 / stretched
            x = x + phi * h / h_last * (x0 - x0_last)
        x = _disturbed(
            x, noise, sigma, sigma_next, eta=eta, s_noise=s_noise, sampler="dpmpp-2m-sde"
        )
        x0_last, h_last = x0, h
    return x


@from_pure_noise
def dpmpp_3m_sde(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Float[Tensor, "batch channels time"]:
    """DPM-Solver++(3M) SDE, one evaluation a step; x0 is extrapolated from three evaluations.

    Args:
        denoiser: (x, sigma) -> x0.
        x: Latents at noise level sigmas[0].
        sigmas: Strictly descending noise levels.
        noise: Noise for each step; needed unless eta or s_noise is 0.
        callback: Called as callback(step, steps, x0).
        eta: Share of fresh noise, 0 or more.
        s_noise: Factor on the fresh noise.

    Raises:
        ValueError: If noise is missing.
    """
    steps = step_pairs(sigmas)
    past: list[tuple[float, Tensor]] = []  # (h of the step, slope of x0 over it), newest first
    x0_last: Tensor | None = None
    h_last = 0.0
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        if sigma_next == 0:
            return x0
        h = math.log(sigma / sigma_next)
        stretched = (1 + eta) * h
        phi_1 = -math.expm1(-stretched)
        phi_2 = 1 - phi_1 / stretched
        phi_3 = phi_2 / stretched - 0.5
        x = math.exp(-stretched) * x + phi_1 * x0
        if x0_last is not None:
            past = [(h_last, (x0 - x0_last) / h_last), *past[:1]]
        if len(past) == 1:
            x = x + phi_2 * h * past[0][1]
        elif len(past) == 2:
            (h_1, slope_1), (h_2, slope_2) = past
            bend = (slope_1 - slope_2) / (h_1 + h_2)  # half the second derivative of x0
            x = x + phi_2 * h * (slope_1 + h_1 * bend) - phi_3 * h**2 * bend
        x = _disturbed(
            x, noise, sigma, sigma_next, eta=eta, s_noise=s_noise, sampler="dpmpp-3m-sde"
        )
        x0_last, h_last = x0, h
    return x


def _disturbed(
    x: Tensor,
    noise: Noise | None,
    sigma: float,
    sigma_next: float,
    *,
    eta: float,
    s_noise: float,
    sampler: str,
) -> Tensor:
    """X with the fresh noise of a step, of variance sigma_next^2 (1 - exp(-2 eta h))."""
    h = math.log(sigma / sigma_next)
    amount = s_noise * sigma_next * math.sqrt(-math.expm1(-2 * eta * h))
    if amount == 0:
        return x
    return add_noise(x, required(noise, sampler), sigma, sigma_next, amount=amount)

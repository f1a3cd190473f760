"""Ping-pong sampling: denoise, add fresh noise of the next level, denoise again."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise, add_noise, required
from stable_audio_open.diffusion.samplers.sampler import Callback, step_pairs


def ping_pong(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
) -> Float[Tensor, "batch channels time"]:
    """Consistency sampling (Song et al. 2023, algorithm 1), for models of few steps.

    x <- x0 + sigma' noise, which is x_t = (1 - t') x0 + t' noise of flows. It asks for models whose
    x0 at high noise is a sound already; others lose what is fine.

    Args:
        denoiser: (x, sigma) -> x0.
        x: Latents at noise level sigmas[0]; the noise alone where that is infinite.
        sigmas: Strictly descending noise levels.
        noise: Noise for each step but the last.
        callback: Called as callback(step, steps, x0).

    Raises:
        ValueError: If noise is missing.
    """
    steps = step_pairs(sigmas)
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        if sigma_next == 0:
            return x0
        fresh = required(noise, "ping-pong")
        x = add_noise(x0, fresh, sigma, sigma_next, amount=sigma_next)
    return x

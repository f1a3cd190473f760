"""DDIM (Song et al. 2021) on the cosine process of the v-objective."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise, add_noise, required
from stable_audio_open.diffusion.samplers.sampler import Callback, from_pure_noise, step_pairs


@from_pure_noise
def ddim(
    denoiser: Denoiser,
    x: Float[Tensor, "batch channels time"],
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Float[Tensor, "batch channels time"]:
    r"""DDIM; eta = 0 is deterministic and equals `euler`, eta = 1 is ancestral sampling.

    In the variance-preserving variable z_t = a_t x0 + b_t eps with a_t = cos(pi t / 2) and
    b_t = sin(pi t / 2), a step from t to s is (equations 12 and 16, with a_t^2 for their alpha_t)

        z_s = a_s x0 + sqrt(b_s^2 - w^2) eps + w noise,
        w = eta (b_s / b_t) sqrt(1 - a_t^2 / a_s^2).

    The state here is x = z_t / a_t, whose noise level is sigma_t = b_t / a_t. Divided by a_s, with
    eps = (x - x0) / sigma_t and 1 - a_t^2 / a_s^2 = a_t^2 (sigma_t^2 - sigma_s^2), the step is

        x <- x0 + sqrt(sigma_s^2 - up^2) eps + up noise,
        up = w / a_s = eta sigma_s sqrt(1 - sigma_s^2 / sigma_t^2),

    where a up beyond sigma_s (possible for eta > 1) is cut to it.

    Args:
        denoiser: (x, sigma) -> x0.
        x: Latents at noise level sigmas[0].
        sigmas: Strictly descending noise levels.
        noise: Noise for each step; needed unless eta or s_noise is 0.
        callback: Called as callback(step, steps, x0).
        eta: Share of fresh noise, 0 or more.
        s_noise: Factor on the fresh noise.
    """
    steps = step_pairs(sigmas)
    for step, (sigma, sigma_next) in enumerate(steps):
        x0 = denoiser(x, sigma)
        if callback is not None:
            callback(step, len(steps), x0)
        up = min(eta * sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5, sigma_next)
        down = (sigma_next**2 - up**2) ** 0.5
        x = x + (down - sigma) / sigma * (x - x0)
        if up * s_noise:
            x = add_noise(x, required(noise, "ddim"), sigma, sigma_next, amount=up * s_noise)
    return x

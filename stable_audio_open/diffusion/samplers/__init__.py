"""Samplers: pure functions from a denoiser, latents and noise levels to clean latents."""

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.diffusion.samplers.ddim import ddim
from stable_audio_open.diffusion.samplers.dpmpp import dpmpp_2m
from stable_audio_open.diffusion.samplers.euler import euler, heun
from stable_audio_open.diffusion.samplers.k_diffusion import PREFIX, k_diffusion_sampler
from stable_audio_open.diffusion.samplers.noise import MAX_SEED, Noise, StepNoise, initial_noise
from stable_audio_open.diffusion.samplers.ping_pong import ping_pong
from stable_audio_open.diffusion.samplers.rk4 import rk4
from stable_audio_open.diffusion.samplers.sampler import Callback, Sampler
from stable_audio_open.diffusion.samplers.sde import dpmpp_2m_sde, dpmpp_3m_sde

__all__ = [
    "MAX_SEED",
    "Callback",
    "Noise",
    "Sampler",
    "StepNoise",
    "get_sampler",
    "initial_noise",
    "sampler_names",
]

_SAMPLERS: dict[str, Sampler] = {
    "dpmpp-2m": dpmpp_2m,
    "dpmpp-2m-sde": dpmpp_2m_sde,
    "dpmpp-3m-sde": dpmpp_3m_sde,
    "euler": euler,
    "heun": heun,
    "rk4": rk4,
    "ddim": ddim,
    "ping-pong": ping_pong,
}


def sampler_names() -> list[str]:
    """The names of the samplers that need no extra."""
    return list(_SAMPLERS)


def get_sampler(name: str) -> Sampler:
    """The sampler of that name: one of `sampler_names()`, or k-diffusion:NAME.

    Names are written with hyphens or underscores.

    Raises:
        ValueError: If there is none, with a similar name; or if it needs the k-diffusion extra.
    """
    hyphened = name.replace("_", "-")
    if hyphened.startswith(PREFIX):
        return k_diffusion_sampler(hyphened.removeprefix(PREFIX).replace("-", "_"))
    if hyphened not in _SAMPLERS:
        near = did_you_mean(hyphened, _SAMPLERS)
        raise ValueError(
            f'unknown sampler "{name}"{f"{near} Allowed" if near else "; allowed"}: '
            f"{', '.join(_SAMPLERS)}, or {PREFIX}NAME with the k-diffusion extra"
        )
    return _SAMPLERS[hyphened]

"""For sampling loops of one's own: the denoiser of a prompt, noise levels and noise."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.given_prompts import GivenNegatives, GivenPrompts
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request import check_request, check_seeds
from stable_audio_open.sampling import prompted_denoiser
from stable_audio_open.sampling_settings import SamplingOptions, resolve_sampling


class PromptedDenoiser:
    """Denoises latents given a prompt, as the samplers of k-diffusion call it.

    Args:
        denoiser: (x, sigma) -> x0.
        items: Items of its batch.
    """

    def __init__(self, denoiser: Denoiser, *, items: int) -> None:
        self.items = items
        self._denoiser = denoiser

    def __call__(
        self, x: Float[Tensor, "batch latent_channels frames"], sigma: float | Tensor
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Return the expected clean latents.

        Args:
            x: x0 + sigma * noise, in float32.
            sigma: The noise level, a number or the same one for each item, `[batch]`.

        Raises:
            ValueError: When items differ in their noise level, or there are others than asked for.
        """
        if len(x) != self.items:
            raise ValueError(f"the denoiser is that of {self.items} prompts, got {len(x)} items")
        if isinstance(sigma, Tensor):
            levels = sigma.reshape(-1).tolist()
            if not levels or any(level != levels[0] for level in levels):
                raise ValueError(f"all items must have one noise level, got {levels}")
            sigma = float(levels[0])
        return self._denoiser(x, sigma)


def denoiser(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    duration: float | Sequence[float] | None = None,
    seconds_start: float = 0.0,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    **options: Unpack[SamplingOptions],
) -> PromptedDenoiser:
    """Return the guided denoiser of a prompt; gradients are kept unless the caller forbids them.

    Args:
        model: The trained system, in evaluation mode.
        prompt: As `generate` takes it; so are the others.
        duration: Seconds of sound.
        seconds_start: Where in a longer recording the sound starts, in seconds.
        window: Seconds to work on.
        conditions: The other numbers that the model is conditioned on.
        negative_prompt: What guidance leads away from.
        options: Guidance; what concerns steps and sampler says which timesteps are prepared.

    Raises:
        ValueError: When an argument is out of its range.
    """
    request = check_request(
        model,
        prompt,
        duration=duration,
        seconds_start=seconds_start,
        window=window,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=0,
    )
    sampling = resolve_sampling(model, options, frames=request.frames, items=len(request.items))
    found = prompted_denoiser(model, request.items, sampling, frames=request.frames)
    return PromptedDenoiser(found, items=len(request.items))


def sigmas(
    model: LatentDiffusion, n: int | None = None, **options: Unpack[SamplingOptions]
) -> Float[Tensor, "levels"]:
    """Return noise levels: n + 1 of them, the last 0, in float32 on the model's device.

    Args:
        model: The system, whose own number of steps and schedule stand for None.
        n: Sampling steps.
        options: `schedule`, `sigma_min` and `sigma_max`.
    """
    options["steps"] = n
    levels = resolve_sampling(model, options).sigmas
    return torch.tensor(levels, dtype=torch.float32, device=model.device)


def noise(
    model: LatentDiffusion,
    seed: int | Sequence[int],
    *,
    count: int | None = None,
    window: float | None = None,
) -> Float[Tensor, "batch latent_channels frames"]:
    """Return the noise of unit variance that `generate` starts from, on the model's device.

    Args:
        model: The system.
        seed: Seed of the first item, from which the others count up; or one per item.
        count: Items; one, or as many as there are seeds, when None.
        window: Seconds to work on.

    Raises:
        ValueError: When an argument is out of its range.
    """
    if count is None:
        count = 1 if isinstance(seed, int) else len(seed)
    frames = check_request(
        model, "noise", duration=None, seconds_start=0, window=window, negative_prompt=None, seed=0
    ).frames
    shape = (model.autoencoder.latent_channels, frames)
    return initial_noise(shape, check_seeds(seed, count)).to(model.device)

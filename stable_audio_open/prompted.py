"""For sampling loops of one's own: the denoiser of a prompt, noise levels and noise."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_integer, check_number, wrong_type
from stable_audio_open.arguments.keywords import check_keywords
from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.projected_guidance import ProjectedGuidance
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import kept_for_later
from stable_audio_open.request.given_prompts import GivenNegatives, GivenPrompts
from stable_audio_open.request.request import (
    check_request,
    check_seeds,
    check_window,
    window_frames,
)
from stable_audio_open.request.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.sampling import prompted_denoiser, warn_of_training


class PromptedDenoiser:
    """Denoises latents given a prompt, as the samplers of k-diffusion call it.

    With `guidance_momentum`, a call at a higher noise level than the one before begins a new run,
    which knows nothing of the last; where a run begins at or below the level at which the last one
    ended, call `reset` first.

    Args:
        denoiser: (x, sigma) -> x0.
        shape: Items, channels and frames of x.
    """

    def __init__(self, denoiser: Denoiser, *, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._denoiser = denoiser

    @property
    def items(self) -> int:
        """Items of its batch."""
        return self.shape[0]

    def reset(self) -> None:
        """Begin a new run: forget the steps before."""
        if isinstance(self._denoiser, ProjectedGuidance):
            self._denoiser.reset()

    def __call__(
        self, x: Float[Tensor, "batch latent_channels frames"], sigma: float | Tensor
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Return the expected clean latents.

        Args:
            x: x0 + sigma * noise, in float32; at an infinite sigma, with which flows begin, the
                noise alone.
            sigma: The noise level, a number or the same one for each item, `[batch]`.

        Raises:
            TypeError: When x is no tensor, or sigma no number.
            ValueError: When x has another shape than is asked for, or the noise level is not one
                of at least 0 for all items.
        """
        if not isinstance(x, Tensor):
            raise wrong_type(x, "x", "a tensor of latents")
        if len(x) != self.items:
            raise ValueError(f"the denoiser is that of {self.items} prompts, got {len(x)} items")
        if tuple(x.shape) != self.shape:
            raise ValueError(f"x must be of shape {list(self.shape)}, got {list(x.shape)}")
        return self._denoiser(x, _one_level(sigma, items=self.items))


def _one_level(sigma: object, *, items: int) -> float:
    """Return the one noise level of all items."""
    if isinstance(sigma, Tensor):
        levels = sigma.reshape(-1).tolist()
        if len(levels) not in (1, items) or any(level != levels[0] for level in levels):
            raise ValueError(f"all items must have one noise level, got {levels}")
        sigma = levels[0]
    level = float(check_number(sigma, "sigma"))
    if not level >= 0:
        raise ValueError(f"sigma must be at least 0, got {level}")
    return level


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
    """Return the guided denoiser of a prompt, through which gradients go to x.

    Those of the weights are not whole, since what depends on the prompt alone is computed here.

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
        TypeError: When an argument is of a wrong type.
        ValueError: When one is out of its range.
    """
    check_keywords(denoiser, options)
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
    warn_of_training(model)
    with kept_for_later():
        found = prompted_denoiser(model, request.items, sampling, frames=request.frames)
    shape = (len(request.items), model.autoencoder.latent_channels, request.frames)
    return PromptedDenoiser(found, shape=shape)


def sigmas(
    model: LatentDiffusion,
    steps: int | None = None,
    *,
    window: float | None = None,
    schedule: str | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
) -> Float[Tensor, "levels"]:
    """Return the noise levels of `generate`: steps + 1, the last 0, in float32 on the device.

    A flow's first level is infinite unless `sigma_max` is given: there x is the noise itself.

    Args:
        model: The system, whose own settings stand for None.
        steps: Sampling steps.
        window: Seconds to work on, by which a flow's timesteps are shifted.
        schedule: As of `generate`.
        sigma_min: Last level before 0.
        sigma_max: First level.

    Raises:
        TypeError: When an argument is of a wrong type.
        ValueError: When one is out of its range.
    """
    options: SamplingOptions = {
        "steps": steps,
        "schedule": schedule,
        "sigma_min": sigma_min,
        "sigma_max": sigma_max,
    }
    frames = window_frames(model, check_window(model, window))
    levels = resolve_sampling(model, options, frames=frames).sigmas
    return torch.tensor(levels, dtype=torch.float32, device=model.device)


def noise(
    model: LatentDiffusion,
    seed: int | Sequence[int],
    *,
    count: int | None = None,
    window: float | None = None,
) -> Float[Tensor, "batch latent_channels frames"]:
    """Return the noise of unit variance that `generate` starts from, on the model's device.

    It depends on seeds and window alone, whatever the model is conditioned on.

    Args:
        model: The system.
        seed: Seed of the first item, from which the others count up; or one per item.
        count: Items; one, or as many as there are seeds, when None.
        window: Seconds to work on.

    Raises:
        TypeError: When an argument is of a wrong type.
        ValueError: When one is out of its range.
    """
    if seed is None:
        raise wrong_type(seed, "seed", "an integer, or a list of one per item")
    items = len(seed) if isinstance(seed, list | tuple) else 1
    if count is not None:
        items = check_integer(count, "count")
    if items < 1:
        name, given = ("seed", seed) if count is None else ("count", count)
        raise ValueError(f"{name} must make 1 item or more, got {given}")
    frames = window_frames(model, check_window(model, window))
    shape = (model.autoencoder.latent_channels, frames)
    return initial_noise(shape, check_seeds(seed, items)).to(model.device)

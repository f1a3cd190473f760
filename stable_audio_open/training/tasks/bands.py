"""Losses of a diffusion model by quarters of its timesteps."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.objective import noise_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.device import sent
from stable_audio_open.training.randomness import BatchRandomness

BANDS = 4
"""Equal ranges of timesteps that have losses of their own."""


def losses_by_band(
    losses: Float[Tensor, "batch"], t: Float[Tensor, "batch"]
) -> dict[str, tuple[Tensor, int]]:
    """Return the mean loss of each range that has items, and how many.

    Args:
        losses: Of each item.
        t: Timesteps in 0..1.
    """
    bands = (t * BANDS).long().clamp(max=BANDS - 1)
    kept = {band: losses[bands == band] for band in range(BANDS)}
    return {_name(band): (own.mean(), len(own)) for band, own in kept.items() if len(own)}


def validation_losses(
    model: LatentDiffusion,
    latents: Float[Tensor, "batch latent_channels frames"],
    conditioning: Conditioning,
    random_of: Callable[[int], BatchRandomness],
) -> dict[str, Tensor]:
    """Return the loss at a timestep of each item in every range.

    Args:
        model: The model that is validated.
        latents: Latents of the recordings.
        conditioning: What they are conditioned on.
        random_of: Draws a range's timesteps and noise.
    """
    losses = {}
    for band in range(BANDS):
        random = random_of(band)
        t = sent((band + random.uniform()) / BANDS, latents.device)
        noise = sent(random.normal(*latents.shape[1:]), latents.device, latents.dtype)
        noised = noise_latents(latents, noise, t, model.objective)
        velocity = model.transformer(noised.x, t, conditioning)
        losses[_name(band)] = F.mse_loss(velocity.float(), noised.velocity.float())
    return losses


def mean_of_bands(losses: dict[str, Tensor]) -> Tensor:
    """Return the mean over ranges, which are of equal width."""
    return torch.stack(list(losses.values())).mean()


def _name(band: int) -> str:
    return f"t_{band / BANDS:.2f}_{(band + 1) / BANDS:.2f}"

"""What a diffusion training learns from a batch: latents, conditions, and what is drawn for it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.conditioning.conditioner import Conditioner, Prepared
from stable_audio_open.nn.device import sent
from stable_audio_open.training.randomness import BatchRandomness


class LearntBatch(NamedTuple):
    """A batch as losses take it."""

    latents: Float[Tensor, "batch latent_channels frames"]
    """Latents of the recordings."""
    prepared: Prepared
    """Prompts and numbers."""
    t: Float[Tensor, "batch"]
    """Timesteps, in 0..1."""
    random: BatchRandomness
    """Draws the noise, masks of inpainting, and what else a loss leaves to chance."""
    sounding: Sequence[float] | None = None
    """Frames of each item before its recording ends; endless where None."""


def draw_latents(batch: dict[str, Any], random: BatchRandomness) -> Tensor:
    """Return a draw of each item's posterior.

    Args:
        batch: Means (`latents`) and standard deviations (`std`).
        random: Draws the noise.

    Raises:
        ValueError: There are no standard deviations.
    """
    means: Tensor = batch["latents"]
    if "std" not in batch:
        raise ValueError(
            "the batch holds means of latents without standard deviations (`std`), and draws "
            "are trained on; encode the recordings again, or train with training.latents=means"
        )
    noise = sent(random.normal(*means.shape[1:]), means.device, means.dtype)
    drawn: Tensor = means + batch["std"] * noise
    return drawn


def prepare_conditions(conditioner: Conditioner, batch: dict[str, Any]) -> Prepared:
    """Return what the items of a batch are conditioned on, as tensors."""
    numbers = {name: batch[name].tolist() for name in conditioner.numbers}  # on the CPU
    return conditioner.prepare(
        [
            {"prompt": prompt, **{name: values[i] for name, values in numbers.items()}}
            for i, prompt in enumerate(batch["prompt"])
        ]
    )

"""What the shipped training configurations minimise, of a batch that needs no recordings."""

import copy
from typing import Any

import msgspec
import torch
from torch import Tensor

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.builders.training import autoencoder_task, diffusion_task
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.tasks.adversarial import AdversarialTraining
from stable_audio_open.training.tasks.autoencoder import freeze_encoder


def task_of(config: Any, text_encoder: TextEncoder) -> Any:
    """The Lightning module of a training that starts from random weights."""
    training = config.training
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if not isinstance(config, AutoencoderModelConfig):
            # A copy, since it may be trained or moved.
            model = build_model(config, text_encoder=copy.deepcopy(text_encoder))
            return diffusion_task(config, training, model)
        autoencoder = build_autoencoder(config)
    if training.train == "decoder":
        freeze_encoder(autoencoder)
    # Nothing is read.
    alone = msgspec.structs.replace(training, initialize=None, train="all")
    return autoencoder_task(config, alone, autoencoder)


def loaded(config: Any) -> dict[str, Any]:
    """A batch of noise as the loaders give it."""
    random = torch.Generator().manual_seed(1)
    if isinstance(config, AutoencoderModelConfig):
        return {
            "audio": torch.randn(
                2, config.audio_channels, config.training.crop_samples, generator=random
            )
            / 4
        }
    frames = config.window_samples // config.autoencoder.downsampling
    shape = 2, config.autoencoder.latent_channels, frames
    numbers = [one.id for one in config.conditioning.conditioners if one.id != "prompt"]
    return {
        "latents": torch.randn(shape, generator=random),
        "std": torch.ones(shape),
        "prompt": ["deep drum", "bright bell"],
        **{name: torch.ones(2) for name in numbers},
    }


def losses(task: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """What each side of a training minimises."""
    if "audio" in batch:
        audio = batch["audio"]
        if isinstance(task, AdversarialTraining):
            return {
                "autoencoder": task.autoencoder_loss(audio, 0).loss,
                "discriminator": task.discriminator_loss(audio, 0),
            }
        return {"autoencoder": task.training_step(batch, 0)}
    if not isinstance(task, AdversarialPostTraining):
        return {"diffusion": task.training_step(batch, 0)}
    learnt = task.learnt(batch, 0)
    sides = (task.warm_up_loss, task.student_loss, task.discriminator_loss)
    return {side.__name__: side(learnt) for side in sides}

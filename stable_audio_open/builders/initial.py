"""Where a diffusion training starts from."""

import torch
from msgspec.structs import replace

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import build_model, text_config
from stable_audio_open.builders.text_encoder import load_text_encoder
from stable_audio_open.checkpoint.bundled import checkpoint_path
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.checkpoint.weights.strict import load_part_strictly, load_strictly
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.training import DiffusionTrainingConfig
from stable_audio_open.latent_diffusion import LatentDiffusion


def initial_model(
    config: DiffusionModelConfig, training: DiffusionTrainingConfig
) -> LatentDiffusion:
    """Return a model with a trained autoencoder and text encoder, the rest new or given.

    Raises:
        ConfigError: When the configuration names neither an autoencoder nor a whole model.
        ValueError: When a checkpoint cannot be read or does not fit.
    """
    _check_sources(config, training)
    whole = (
        None
        if training.initialize is None
        else read_checkpoint(checkpoint_path(training.initialize))
    )
    if whole is not None and training.adversarial is not None:
        _check_teacher(config, whole.config, training.initialize)
    # One that came with the weights may have been trained with them.
    if whole is not None and whole.text_encoder is not None:
        text_encoder = load_text_encoder(whole.text_encoder, tokenizer=whole.tokenizer)
    else:
        text_encoder = load_text_encoder(text_config(config).model)
    # Channels for inpainting are added to a model that was trained without them.
    added = config.transformer.inpainting and whole is not None and not _inpaints(whole.config)
    built = config
    if added:
        transformer = replace(config.transformer, inpainting=False)
        built = replace(config, transformer=transformer, training=None)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model = build_model(built, text_encoder=text_encoder)
    if whole is not None:
        load_strictly(
            model, whole.tensors, source=str(whole.path), keys=whole.keys, optional=TEXT_ENCODER
        )
    if added:
        model.transformer.add_inpainting_channels()
    if training.autoencoder is not None:
        _load_autoencoder(model.autoencoder, training.autoencoder)
    return model


def trained_autoencoder(
    config: DiffusionModelConfig, training: DiffusionTrainingConfig
) -> AudioAutoencoder:
    """Return the autoencoder of `initial_model` alone; the other parts are neither built nor read.

    Raises:
        ConfigError: When the configuration names neither an autoencoder nor a whole model.
        ValueError: When a checkpoint cannot be read or does not fit.
    """
    _check_sources(config, training)
    autoencoder = build_autoencoder(config)
    if training.autoencoder is not None:
        _load_autoencoder(autoencoder, training.autoencoder)
    elif training.initialize is not None:
        whole = read_checkpoint(checkpoint_path(training.initialize))
        load_part_strictly(
            autoencoder, "autoencoder", whole.tensors, source=str(whole.path), keys=whole.keys
        )
    return autoencoder


def _check_sources(config: DiffusionModelConfig, training: DiffusionTrainingConfig) -> None:
    if training.autoencoder is None and training.initialize is None:
        raise ConfigError(
            f"{config.name}: training.autoencoder is missing; give the checkpoint of a trained "
            "autoencoder, or a whole model as training.initialize"
        )


def _check_teacher(config: DiffusionModelConfig, teacher: ModelConfig, source: str | None) -> None:
    if isinstance(teacher, DiffusionModelConfig) and teacher.objective == "v":
        raise ConfigError(
            f"{config.name}: `training.adversarial` trains a rectified flow on, and the objective "
            f"of training.initialize, {source}, is v; train one with objective=rectified_flow"
        )


def _inpaints(config: ModelConfig) -> bool:
    return isinstance(config, DiffusionModelConfig) and config.transformer.inpainting


def _load_autoencoder(autoencoder: AudioAutoencoder, source: str) -> None:
    part = read_checkpoint(checkpoint_path(source))
    if not isinstance(part.config, AutoencoderModelConfig):
        raise ValueError(
            f"{source} holds a whole model; give it as training.initialize, or "
            "a checkpoint of an autoencoder as training.autoencoder"
        )
    load_strictly(autoencoder, part.tensors, source=str(part.path), keys=part.keys)

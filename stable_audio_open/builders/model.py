"""Whole models from their configuration."""

from typing import NamedTuple, assert_never

from msgspec.structs import asdict
from torch import nn

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.conditioning.conditioner import Conditioner
from stable_audio_open.conditioning.number import NumberConditioner
from stable_audio_open.conditioning.text import TextConditioner, Tokenizer
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.model import DiffusionModelConfig, TimestepShiftConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.latent_diffusion import LatentDiffusion


class TextEncoder(NamedTuple):
    """A tokenizer and the T5 encoder that goes with it."""

    tokenizer: Tokenizer
    encoder: nn.Module
    width: int


def text_config(config: DiffusionModelConfig) -> T5Config:
    """Return the configuration of the (one) text conditioner."""
    (text,) = [c for c in config.conditioning.conditioners if isinstance(c, T5Config)]
    return text


def build_conditioner(config: ConditioningConfig, *, text_encoder: TextEncoder) -> Conditioner:
    """Return the conditioner of a configuration around a built text encoder."""
    texts, numbers = {}, {}
    for part in config.conditioners:
        match part:
            case T5Config():
                texts[part.id] = TextConditioner(
                    tokenizer=text_encoder.tokenizer,
                    encoder=text_encoder.encoder,
                    encoder_width=text_encoder.width,
                    width=config.width,
                    max_length=part.max_length,
                    trainable=part.trainable,
                )
            case NumberConfig():
                numbers[part.id] = NumberConditioner(
                    width=config.width, minimum=part.min, maximum=part.max
                )
            case _:
                assert_never(part)
    return Conditioner(
        texts=texts,
        numbers=numbers,
        cross_attention=config.cross_attention,
        global_=config.global_,
    )


def build_transformer(config: TransformerConfig) -> DiffusionTransformer:
    """Return the diffusion transformer of a configuration, with random weights."""
    return DiffusionTransformer(
        latent_channels=config.latent_channels,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        context_width=config.context_width,
        global_width=config.global_width,
        rotated=config.rotated,
        qk_norm=config.qk_norm,
        project_context=config.project_context,
        inpainting=config.inpainting,
    )


def build_timestep_shift(config: TimestepShiftConfig | None) -> TimestepShift | None:
    """Return the shift of a flow's times, if there is one."""
    return None if config is None else TimestepShift(**asdict(config))


def build_model(config: DiffusionModelConfig, *, text_encoder: TextEncoder) -> LatentDiffusion:
    """Return the whole system of a configuration, with random weights but for the text encoder."""
    return LatentDiffusion(
        autoencoder=build_autoencoder(config),
        conditioner=build_conditioner(config.conditioning, text_encoder=text_encoder),
        transformer=build_transformer(config.transformer),
        window_samples=config.window_samples,
        objective=config.objective,
        timestep_shift=build_timestep_shift(config.timestep_shift),
    )

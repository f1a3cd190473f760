"""Autoencoders from their configuration."""

from typing import TypedDict, assert_never

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.autoencoder.oobleck import OobleckDecoder, OobleckEncoder
from stable_audio_open.config.autoencoder import OobleckConfig, VaeConfig
from stable_audio_open.config.model import ModelConfig


class AutoencoderParts(TypedDict):
    """The arguments of `AudioAutoencoder`."""

    encoder: OobleckEncoder
    decoder: OobleckDecoder
    sample_rate: int
    audio_channels: int
    latent_channels: int
    downsampling: int
    scale: float
    iterate_batch: bool


def build_autoencoder(config: ModelConfig) -> AudioAutoencoder:
    """Return the autoencoder of a configuration, with random weights."""
    return AudioAutoencoder(**autoencoder_parts(config))


def autoencoder_parts(config: ModelConfig) -> AutoencoderParts:
    """Return what the autoencoder of a configuration is made of, with random weights."""
    parts = config.autoencoder
    match parts.bottleneck:
        case VaeConfig():
            parameters = 2 * parts.latent_channels
        case _:
            assert_never(parts.bottleneck)
    return AutoencoderParts(
        encoder=_encoder(parts.encoder, config.audio_channels, parameters),
        decoder=_decoder(parts.decoder, config.audio_channels, parts.latent_channels),
        sample_rate=config.sample_rate,
        audio_channels=config.audio_channels,
        latent_channels=parts.latent_channels,
        downsampling=parts.downsampling,
        scale=parts.scale,
        iterate_batch=parts.iterate_batch,
    )


def _encoder(config: OobleckConfig, audio_channels: int, output_channels: int) -> OobleckEncoder:
    return OobleckEncoder(
        audio_channels=audio_channels,
        channels=config.channels,
        multipliers=config.multipliers,
        strides=config.strides,
        output_channels=output_channels,
    )


def _decoder(config: OobleckConfig, audio_channels: int, latent_channels: int) -> OobleckDecoder:
    return OobleckDecoder(
        audio_channels=audio_channels,
        channels=config.channels,
        multipliers=config.multipliers,
        strides=config.strides,
        latent_channels=latent_channels,
        final_tanh=config.final_tanh,
    )

"""Autoencoders from wherever they are: alone, or as part of a whole model."""

import os
from typing import Unpack

import torch

from stable_audio_open import pretrained_saving
from stable_audio_open.arguments.checks import check_flag
from stable_audio_open.autoencoder import autoencoder as plain
from stable_audio_open.builders.autoencoder import AutoencoderParts, autoencoder_parts
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.locate import locate
from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.weights.precision import cast, find_precision
from stable_audio_open.checkpoint.weights.strict import load_autoencoder_strictly
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.nn.device import find_device

Source = str | os.PathLike[str]


class AudioAutoencoder(plain.AudioAutoencoder):
    """Waveform to latents and back: a trained autoencoder, and its configuration.

    Args:
        config: What the parts were built from.
        parts: As the `AudioAutoencoder` of `stable_audio_open.autoencoder` takes them.
    """

    def __init__(
        self, *, config: AutoencoderModelConfig, **parts: Unpack[AutoencoderParts]
    ) -> None:
        super().__init__(**parts)
        self.config = config

    @classmethod
    def from_pretrained(
        cls,
        source: Source,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        use_ema: bool = True,
        variant: str | None = None,
        revision: str | None = None,
    ) -> "AudioAutoencoder":
        """Load an autoencoder, or that of a whole model; the arguments are those of `load`.

        Raises:
            ValueError: For the reasons of `load`.
        """
        return load_autoencoder(
            source,
            device=device,
            dtype=dtype,
            use_ema=use_ema,
            variant=variant,
            revision=revision,
        )

    save_pretrained = pretrained_saving.save_pretrained
    push_to_hub = pretrained_saving.push_to_hub


def load_autoencoder(
    source: Source,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    use_ema: bool = True,
    variant: str | None = None,
    revision: str | None = None,
) -> AudioAutoencoder:
    """Load a trained autoencoder, or that of a whole model alone, in evaluation mode.

    The arguments and errors are those of `load`. Of a whole model, no text encoder is needed.
    """
    where = find_device(device)
    kind = find_precision(dtype, where).autoencoder
    check_flag(use_ema, "use_ema")
    path = locate(source, text_encoder=False, variant=variant, revision=revision)
    checkpoint = read_checkpoint(path, use_ema=use_ema, variant=variant)
    return read_autoencoder(checkpoint, where, kind)


def read_autoencoder(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> AudioAutoencoder:
    """Build the autoencoder of a checkpoint of any kind, and no other part."""
    with torch.device("meta"):
        model = public_autoencoder(checkpoint.config)
    load_autoencoder_strictly(model, checkpoint, dtype_of=lambda _: dtype)
    cast(model, dtype)
    return model.to(device).eval()


def public_autoencoder(config: ModelConfig) -> AudioAutoencoder:
    """Build the autoencoder of a configuration of any kind, with random weights."""
    own = config
    if isinstance(own, DiffusionModelConfig):
        own = AutoencoderModelConfig(
            name=config.name,
            sample_rate=config.sample_rate,
            audio_channels=config.audio_channels,
            autoencoder=config.autoencoder,
        )
    return AudioAutoencoder(config=own, **autoencoder_parts(config))

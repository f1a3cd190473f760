"""Small autoencoders of any strides."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import pytest
import torch

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.autoencoder.oobleck import OobleckDecoder, OobleckEncoder

Small = Callable[..., AudioAutoencoder]


@pytest.fixture
def small(randomise: Callable[..., None]) -> Small:
    """Two channels of audio, three of latents; if randomised, every parameter, in float64."""

    def small(
        strides: Sequence[int], *, channels: int = 4, randomised: bool = True, **settings: Any
    ) -> AudioAutoencoder:
        sizes: dict[str, Any] = {
            "channels": channels,
            "multipliers": [1] * len(strides),
            "strides": strides,
        }
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = OobleckEncoder(audio_channels=2, output_channels=6, **sizes)
            decoder = OobleckDecoder(audio_channels=2, latent_channels=3, **sizes)
        autoencoder = AudioAutoencoder(
            encoder=encoder,
            decoder=decoder,
            sample_rate=1000,
            audio_channels=2,
            latent_channels=3,
            downsampling=prod(strides),
            **settings,
        )
        if randomised:
            randomise(autoencoder)
        return autoencoder.requires_grad_(False)

    return small

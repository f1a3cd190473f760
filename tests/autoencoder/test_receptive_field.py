"""How far a frame reaches, computed from the layers, against what NaNs and gradients show."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.autoencoder.receptive_field import decoder_margin, encoder_margin
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.config.read import read_config

pytestmark = pytest.mark.numerical

Small = Callable[..., AudioAutoencoder]
PUBLISHED = (2, 4, 4, 8, 8)
ROOT = Path(__file__).parents[2]


def normal(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def touched(flags: Tensor) -> tuple[int, int]:
    """First and last position that is set in `[1, channels, time]`."""
    positions = flags[0].any(dim=0).nonzero()
    return int(positions[0]), int(positions[-1])


def decoder_reach(autoencoder: AudioAutoencoder, *, frames: int) -> tuple[int, int]:
    """Samples before and after its own that a NaN in the middle frame spoils."""
    latents, hop, middle = normal(1, 3, frames), autoencoder.downsampling, frames // 2
    latents[..., middle] = math.nan
    first, last = touched(autoencoder.decoder(latents).isnan())
    return middle * hop - first, last - ((middle + 1) * hop - 1)


def encoder_reach(autoencoder: AudioAutoencoder, *, frames: int) -> tuple[int, int]:
    """Samples before and after its own that the middle frame depends on."""
    hop, middle = autoencoder.downsampling, frames // 2
    audio = normal(1, 2, frames * hop).requires_grad_()
    out: Tensor = autoencoder.encoder(audio)
    (gradient,) = torch.autograd.grad(out[..., middle].sum(), audio)
    first, last = touched(gradient != 0)
    return middle * hop - first, last - ((middle + 1) * hop - 1)


@pytest.mark.parametrize("strides", [(2,), (4, 2), (2, 2, 4), (8, 8), PUBLISHED])
def test_margins_cover_exactly_what_the_layers_reach(small: Small, strides: Sequence[int]) -> None:
    autoencoder = small(strides, channels=1)
    hop = autoencoder.downsampling
    decoded = decoder_reach(autoencoder, frames=2 * autoencoder.decoder_margin + 5)
    assert autoencoder.decoder_margin == math.ceil(max(decoded) / hop)
    encoded = encoder_reach(autoencoder, frames=2 * autoencoder.encoder_margin + 5)
    assert autoencoder.encoder_margin == math.ceil(max(encoded) / hop)


def test_the_published_reach(small: Small) -> None:
    autoencoder = small(PUBLISHED, channels=1)
    before, after = decoder_reach(autoencoder, frames=25)
    assert max(before, after) == 18_981
    assert max(before, after) / 2048 == pytest.approx(9.268, abs=5e-4)
    before, after = encoder_reach(autoencoder, frames=21)
    assert max(before, after) / 2048 == pytest.approx(7.268, abs=5e-4)


@pytest.mark.parametrize("name", ["autoencoder.json", "diffusion.json"])
def test_published_margins_are_10_and_8(name: str) -> None:
    config = read_config(ROOT / "configs" / "stable_audio_open_1_0" / name)
    with torch.device("meta"):
        autoencoder = build_autoencoder(config)
    assert (autoencoder.decoder_margin, autoencoder.encoder_margin) == (10, 8)
    assert autoencoder.downsampling == 2048


def test_margins_are_computed_from_the_layers(small: Small) -> None:
    # A longer kernel reaches further: 40 samples more, at 8 samples a frame.
    autoencoder = small((2, 4))
    last: Any = autoencoder.decoder.get_submodule("output")
    before = decoder_margin(autoencoder.decoder, downsampling=8)
    last.kernel_size, last.padding = (87,), (43,)
    assert decoder_margin(autoencoder.decoder, downsampling=8) == before + 5
    first: Any = autoencoder.encoder.get_submodule("input")
    before = encoder_margin(autoencoder.encoder, downsampling=8)
    first.kernel_size, first.padding = (87,), (43,)
    assert encoder_margin(autoencoder.encoder, downsampling=8) == before + 5

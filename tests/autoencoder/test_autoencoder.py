from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder

pytestmark = pytest.mark.numerical

Small = Callable[..., AudioAutoencoder]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (7, 1), (8, 1), (9, 2), (64, 8)])
def test_the_last_frame_is_filled_with_silence(
    small: Small, samples: int, frames: int, chunked: bool
) -> None:
    autoencoder, audio = small((2, 4)), normal(2, 2, samples)
    latents = autoencoder.encode(audio, chunked=chunked)
    assert latents.shape == (2, 3, frames)
    padded = functional.pad(audio, (0, 8 * frames - samples))
    torch.testing.assert_close(latents, autoencoder.encode(padded, chunked=False))
    assert autoencoder.decode(latents, chunked=chunked).shape == (2, 2, 8 * frames)


@pytest.mark.parametrize("chunked", [True, False])
def test_items_one_after_the_other_are_the_same(small: Small, chunked: bool) -> None:
    together, one_by_one = small((2, 4)), small((2, 4), iterate_batch=True)
    audio, latents = normal(3, 2, 77), normal(3, 3, 9)
    torch.testing.assert_close(
        one_by_one.encode(audio, chunked=chunked), together.encode(audio, chunked=chunked)
    )
    torch.testing.assert_close(
        one_by_one.decode(latents, chunked=chunked), together.decode(latents, chunked=chunked)
    )


@pytest.mark.parametrize("iterate_batch", [True, False])
def test_a_generator_decides_what_is_sampled(small: Small, iterate_batch: bool) -> None:
    autoencoder, audio = small((2, 4), iterate_batch=iterate_batch), normal(2, 2, 64)

    def sample(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return autoencoder.encode(audio, sample=True, generator=generator)

    assert torch.equal(sample(1), sample(1))
    assert (sample(1) - sample(2)).abs().min() > 0
    assert (sample(1)[0] - autoencoder.encode(audio)[0]).abs().min() > 0


def test_scale_divides_latents_and_multiplies_them_back(small: Small) -> None:
    plain, scaled = small((2, 4)), small((2, 4), scale=0.25)
    audio, latents = normal(1, 2, 40), normal(1, 3, 5)
    torch.testing.assert_close(scaled.encode(audio), plain.encode(audio) / 0.25)
    torch.testing.assert_close(scaled.decode(latents), plain.decode(latents * 0.25))


def test_tanh_at_the_end_only_where_asked_for(small: Small) -> None:
    autoencoder, latents = small((2, 4)), normal(1, 3, 5)
    plain = autoencoder.decode(latents)
    assert plain.abs().max() > 1
    decoder: Any = autoencoder.decoder
    decoder.final_tanh = True
    torch.testing.assert_close(autoencoder.decode(latents), plain.tanh())


@pytest.mark.parametrize("shape", [(1, 1, 64), (1, 3, 64)])
def test_other_channels_are_refused(small: Small, shape: tuple[int, ...]) -> None:
    message = rf"^audio must be \[batch, 2, time\], got \[1, {shape[1]}, 64\]$"
    with pytest.raises(ValueError, match=message):
        small((2, 4)).encode(normal(*shape))


def test_empty_audio_is_refused(small: Small) -> None:
    with pytest.raises(ValueError, match=r"^audio must have at least one sample, got none$"):
        small((2, 4)).encode(normal(1, 2, 0))


@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 3, 0)])
def test_other_latents_are_refused(small: Small, shape: tuple[int, ...]) -> None:
    message = rf"^latents must be \[batch, 3, frames >= 1\], got \[1, {shape[1]}, {shape[2]}\]$"
    with pytest.raises(ValueError, match=message):
        small((2, 4)).decode(normal(*shape))


@pytest.mark.parametrize("core", [0, -1])
def test_a_core_without_frames_is_refused(small: Small, core: int) -> None:
    message = f"^a chunk's core must be at least 1 latent frame, got {core}$"
    with pytest.raises(ValueError, match=message):
        small((2, 4)).decode(normal(1, 3, 5), core=core)
    with pytest.raises(ValueError, match=message):
        small((2, 4)).encode(normal(1, 2, 40), core=core)


def test_a_reconstruction_is_as_long_as_its_input_and_of_the_means(small: Small) -> None:
    autoencoder = small((2, 4))
    audio = torch.randn(2, 2, 83, generator=torch.Generator().manual_seed(0))
    found = autoencoder.reconstruct(audio)
    assert found.dtype == autoencoder.dtype == torch.float64
    expected = autoencoder.decode(autoencoder.encode(audio.double()))[..., :83]
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_a_reconstruction_that_is_not_finite_is_refused(small: Small) -> None:
    autoencoder = small((2, 4))
    with torch.no_grad():
        next(autoencoder.decoder.parameters()).fill_(float("nan"))
    message = r"^the autoencoder gave NaN or infinite samples in torch\.float64; use float32"
    with pytest.raises(FloatingPointError, match=message):
        autoencoder.reconstruct(torch.zeros(1, 2, 16))

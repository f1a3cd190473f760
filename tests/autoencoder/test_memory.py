"""Live tensor bytes while encoding and decoding, counted as they come and go."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from tests.live_bytes import LiveBytes

Small = Callable[..., AudioAutoencoder]
CORE = 32


def peak_beyond_result(call: Callable[[Tensor], Tensor], given: Tensor) -> tuple[int, int]:
    """Bytes at the peak without those of what is given and of the result; and the result's."""
    live = LiveBytes()
    live.sizes[given.untyped_storage()._cdata] = 0
    with torch.no_grad(), live:
        result = call(given)
    return live.peak - result.nbytes, result.nbytes


@pytest.fixture
def autoencoder(small: Small) -> AudioAutoencoder:
    return small((2, 4, 8), channels=8).float()


def decode(autoencoder: AudioAutoencoder, frames: int, **settings: Any) -> tuple[int, int]:
    return peak_beyond_result(
        lambda latents: autoencoder.decode(latents, **settings), torch.zeros(1, 3, frames)
    )


def encode(autoencoder: AudioAutoencoder, frames: int, **settings: Any) -> tuple[int, int]:
    # Not a whole number of frames: the silence must not cost a copy of the audio.
    return peak_beyond_result(
        lambda audio: autoencoder.encode(audio, **settings), torch.zeros(1, 2, frames * 64 - 5)
    )


def test_decoding_in_chunks_needs_no_more_memory_for_a_longer_sound(
    autoencoder: AudioAutoencoder,
) -> None:
    peaks = [decode(autoencoder, frames, core=CORE)[0] for frames in (256, 512, 1024)]
    assert max(peaks) == min(peaks)


def test_encoding_in_chunks_needs_a_few_times_the_latents_more_for_a_longer_sound(
    autoencoder: AudioAutoencoder,
) -> None:
    # Means, scales and standard deviations are there at once; the latents are small.
    few, short = encode(autoencoder, 256, core=CORE)
    many, long = encode(autoencoder, 1024, core=CORE)
    assert many - few <= 4 * (long - short)


@pytest.mark.slow
def test_at_once_memory_grows_with_the_length(autoencoder: AudioAutoencoder) -> None:
    for work in (encode, decode):
        few, _ = work(autoencoder, 256, chunked=False)
        many, _ = work(autoencoder, 1024, chunked=False)
        assert many > 3.5 * few
        assert many > 5 * work(autoencoder, 1024, core=CORE)[0]

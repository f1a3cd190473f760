"""Live tensor bytes while encoding and decoding, counted as they come and go."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder

Small = Callable[..., AudioAutoencoder]
CORE = 32


class LiveBytes(TorchDispatchMode):
    """Follows every storage that an operation makes until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, storage._cdata)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return out


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

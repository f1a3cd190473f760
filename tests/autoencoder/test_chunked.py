from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.autoencoder.chunked import chunks

pytestmark = pytest.mark.numerical

Small = Callable[..., AudioAutoencoder]
STRIDES = [(2,), (4, 2), (2, 2, 4), (8, 8), (2, 4, 4, 8, 8)]


def assert_as_promised(found: Tensor, expected: Tensor) -> None:
    """Equal but for what float32 rounds, beside the loudest sample."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=STRIDES, ids=str)
def autoencoder(request: pytest.FixtureRequest, small: Small) -> AudioAutoencoder:
    """As PyTorch initialises it, in float32, with outputs as loud as real ones: 0.1."""
    autoencoder = small(request.param, randomised=False)
    latents, audio = normal(1, 3, 40), normal(1, 2, 40 * autoencoder.downsampling)
    for side, out in (
        (autoencoder.decoder, autoencoder.decode(latents, chunked=False)),
        (autoencoder.encoder, autoencoder.encode(audio, chunked=False)),
    ):
        side.state_dict()["output.parametrizations.weight.original0"] *= 0.1 / out.std()
    return autoencoder


def lengths(autoencoder: AudioAutoencoder) -> Sequence[int]:
    """From one frame to several cores and margins; fewer where a frame is long."""
    return (*range(1, 13), 20, 33, 40, 77) if autoencoder.downsampling < 100 else (1, 2, 11, 24)


def test_decoding_in_chunks_changes_nothing_for_any_length(autoencoder: AudioAutoencoder) -> None:
    for frames in lengths(autoencoder):
        latents = normal(1, 3, frames, seed=frames)
        whole = autoencoder.decode(latents, chunked=False)
        for core in (1, 5) if frames < 8 else (16,):
            assert_as_promised(autoencoder.decode(latents, core=core), whole)


def test_encoding_in_chunks_changes_nothing_for_any_length(autoencoder: AudioAutoencoder) -> None:
    for frames in lengths(autoencoder):
        length = frames * autoencoder.downsampling - frames % 2
        audio = normal(1, 2, length, seed=frames)
        whole = autoencoder.encode(audio, chunked=False)
        for core in (1, 5) if frames < 8 else (16,):
            assert_as_promised(autoencoder.encode(audio, core=core), whole)


def test_a_smaller_margin_would_not_do(small: Small) -> None:
    autoencoder = small((2, 4, 4, 8, 8))
    latents, audio = normal(1, 3, 24).double(), normal(1, 2, 24 * 2048).double()
    waveform = autoencoder.decode(latents, chunked=False)
    encoded = autoencoder.encode(audio, chunked=False)
    torch.testing.assert_close(autoencoder.decode(latents, core=4), waveform)
    torch.testing.assert_close(autoencoder.encode(audio, core=4), encoded)
    autoencoder.decoder_margin -= 1
    autoencoder.encoder_margin -= 1
    assert not torch.allclose(autoencoder.decode(latents, core=4), waveform)
    assert not torch.allclose(autoencoder.encode(audio, core=4), encoded)


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 11, 57])
@pytest.mark.parametrize("core", [1, 10, 64])
def test_chunks_share_out_the_frames_and_overlap_by_the_margin(frames: int, core: int) -> None:
    kept: list[int] = []
    for chunk in chunks(frames, core=core, margin=3):
        assert 0 <= chunk.low <= chunk.start < chunk.stop <= chunk.high <= frames
        assert chunk.start - chunk.low == min(3, chunk.start)
        assert chunk.high - chunk.stop == min(3, frames - chunk.stop)
        assert chunk.stop - chunk.start <= core
        kept += range(chunk.start, chunk.stop)
    assert kept == list(range(frames))


def test_weights_are_normalised_once_for_all_chunks(small: Small) -> None:
    autoencoder = small((2, 4))
    calls: list[str] = []
    for name, module in autoencoder.decoder.named_modules():
        if name.endswith("parametrizations.weight.0"):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    autoencoder.decode(normal(1, 3, 40).double(), core=4)
    # The first and last convolution, and in each of two blocks one and six of its units.
    assert len(calls) == len(set(calls)) == 2 + 2 * (1 + 6)


@pytest.mark.slow
@pytest.mark.parametrize("iterate_batch", [False, True])
@pytest.mark.parametrize("first", [None, 1, 3, 50])
def test_pieces_joined_are_decoded_in_the_same_chunks(
    autoencoder: AudioAutoencoder, first: int | None, iterate_batch: bool
) -> None:
    autoencoder.iterate_batch = iterate_batch
    latents = normal(2, 3, 40)
    pieces = list(autoencoder.decode_pieces(latents, core=16, first=first))
    hop = autoencoder.downsampling
    assert pieces[0].shape == (2, 2, min(first or 16, 40) * hop)
    joined = torch.cat(pieces, dim=-1)
    assert torch.equal(joined, autoencoder.decode(latents, core=16, first=first))
    assert_as_promised(joined, autoencoder.decode(latents, chunked=False))


def test_a_piece_is_there_before_the_rest_is_decoded(small: Small) -> None:
    autoencoder = small((4, 2)).float()
    decoded: list[int] = []
    autoencoder.decoder.register_forward_pre_hook(
        lambda _, inputs: decoded.append(inputs[0].shape[-1])
    )
    pieces = autoencoder.decode_pieces(normal(1, 3, 200), core=50, first=5)
    next(pieces)
    assert decoded == [5 + autoencoder.decoder_margin]
    assert torch.is_grad_enabled()  # while the caller works
    list(pieces)
    assert len(decoded) == 5


def test_a_gradient_that_chunks_would_drop_is_told(small: Small) -> None:
    autoencoder = small((4, 2)).float()
    latents = normal(1, 3, 20).requires_grad_()
    with pytest.warns(UserWarning, match="^decoding in chunks keeps no gradients, and the latents"):
        autoencoder.decode(latents)
    autoencoder.decode(latents.detach())
    with torch.no_grad():
        autoencoder.decode(latents)
    (gradient,) = torch.autograd.grad(autoencoder.decode(latents, chunked=False).sum(), latents)
    assert float(gradient.abs().min()) > 0

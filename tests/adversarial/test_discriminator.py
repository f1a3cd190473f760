import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.transforms import Spectrogram

from stable_audio_open.adversarial.discriminator import (
    MultiResolutionDiscriminator,
    SpectralDiscriminator,
)

pytestmark = pytest.mark.numerical

SIZES = (512, 128)


def noise(items: int = 2, *, samples: int = 2048, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(items, 2, samples, generator=torch.Generator().manual_seed(seed))


def discriminator(filters: int = 6) -> MultiResolutionDiscriminator:
    torch.manual_seed(0)
    return MultiResolutionDiscriminator(audio_channels=2, fft_sizes=SIZES, filters=filters)


def test_published_size() -> None:
    """Weights, biases and norms of six convolutions, counted by hand, on five resolutions."""
    model = MultiResolutionDiscriminator(
        audio_channels=2, fft_sizes=(2048, 1024, 512, 256, 128), filters=64
    )
    hidden = 3 * (64 * 64 * 27) + 64 * 64 * 9
    one = 4 * 64 * 27 + hidden + 64 * 9 + 5 * (64 + 64) + (1 + 1)
    assert sum(p.numel() for p in model.parameters()) == 5 * one
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


def test_every_map_keeps_the_shape_of_the_spectrum() -> None:
    judgements = discriminator()(noise())
    assert len(judgements) == 2
    for size, judgement in zip(SIZES, judgements, strict=True):
        frames, bins = (2048 - size) // (size // 4) + 1, size // 2 + 1
        assert judgement.logits.shape == (2, 1, frames, bins)
        assert [f.shape for f in judgement.features] == [(2, 6, frames, bins)] * 5


def test_judgement_is_that_of_a_transcription() -> None:
    """EnCodec's definition from torchaudio's normalised spectra and plain convolutions."""
    model = SpectralDiscriminator(audio_channels=2, fft_size=256, filters=5).double()
    audio = noise().double()
    spectrum = Spectrogram(256, hop_length=64, normalized=True, center=False, power=None)
    found = model(audio)
    bins_first = spectrum.double()(audio)
    x = torch.cat([bins_first.real, bins_first.imag], dim=1).transpose(2, 3)
    kernels = [((3, 9), 1), ((3, 9), 1), ((3, 9), 2), ((3, 9), 4), ((3, 3), 1)]
    for index, ((height, width), dilation) in enumerate(kernels):
        convolution = model.layers[index]
        assert convolution.weight.shape[2:] == (height, width)
        padding = (dilation * (height - 1) // 2, (width - 1) // 2)
        x = F.conv2d(x, convolution.weight, convolution.bias, 1, padding, (dilation, 1))
        x = torch.where(x < 0, 0.2 * x, x)
        torch.testing.assert_close(found.features[index], x)
    x = F.conv2d(x, model.output.weight, model.output.bias, padding=1)
    torch.testing.assert_close(found.logits, x)


def test_noise_is_as_loud_at_every_resolution() -> None:
    planes = []
    for size in (2048, 128):
        model = SpectralDiscriminator(audio_channels=2, fft_size=size)
        seen: list[Tensor] = []
        model.layers[0].register_forward_pre_hook(lambda _, inputs, into=seen: into.append(*inputs))
        model(noise(samples=16384))
        planes.append(float(seen[0].std()))
    assert planes[0] == pytest.approx(planes[1], rel=0.02)
    assert planes[0] == pytest.approx(0.3 / 2**0.5, rel=0.02)


def test_both_channels_and_their_phase_are_seen() -> None:
    model, audio = discriminator(), noise()
    for other in (audio.flip(1), audio * torch.tensor([[1.0], [-1.0]]), -audio):
        for found, changed in zip(model(audio), model(other), strict=True):
            assert not torch.allclose(found.logits, changed.logits)


def test_short_audio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"500 samples .* window of 512; give longer crops"):
        discriminator()(noise(samples=500))


def test_spectra_are_precise_under_autocast() -> None:
    model, audio = discriminator(), noise()
    expected = model(audio)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(audio)
    for wide, narrow in zip(expected, found, strict=True):
        assert narrow.logits.dtype == torch.bfloat16
        torch.testing.assert_close(narrow.logits.float(), wide.logits, atol=0.02, rtol=0.05)


def test_it_explains_itself() -> None:
    assert "fft_size=512" in repr(discriminator())

import math

import pytest
import torch

from stable_audio_open.nn.mel import FLOOR_DB, mel_decibels, mel_filters

pytestmark = pytest.mark.numerical

RATE = 44100


def magnitudes(audio: torch.Tensor, size: int) -> torch.Tensor:
    window = torch.hann_window(size)
    return torch.stft(audio, size, window=window, return_complex=True).abs().transpose(1, 2)


@pytest.mark.parametrize("hertz", [1000.0, 5000.0])
@pytest.mark.parametrize("amplitude", [1.0, 0.01])
def test_a_sine_has_its_level_in_its_band(hertz: float, amplitude: float) -> None:
    audio = amplitude * torch.sin(torch.arange(RATE) * (2 * math.pi * hertz / RATE))[None]
    levels = mel_decibels(magnitudes(audio, 2048), mel_filters(2048, sample_rate=RATE))
    assert levels.shape[-1] == 64
    loudest = float(levels[0, 50].max())
    # A Hann window spreads a sine over three bins, and a band may be centred beside it.
    assert loudest == pytest.approx(20 * math.log10(amplitude), abs=3.0)


def test_bands_rise_in_pitch() -> None:
    pitches = (100.0, 300.0, 1000.0, 3000.0, 10000.0)
    time = torch.arange(RATE) * (2 * math.pi / RATE)
    audio = torch.stack([torch.sin(time * pitch) for pitch in pitches])
    levels = mel_decibels(magnitudes(audio, 2048), mel_filters(2048, sample_rate=RATE))
    bands = levels[:, 50].argmax(dim=-1).tolist()
    assert bands == sorted(set(bands))


def test_silence_is_at_the_floor() -> None:
    levels = mel_decibels(torch.zeros(1, 3, 129), mel_filters(256, sample_rate=RATE))
    assert levels.shape == (1, 3, 8)
    torch.testing.assert_close(levels, torch.full_like(levels, FLOOR_DB))


def test_no_band_is_empty() -> None:
    for size in (2048, 1024, 512, 256, 128, 64, 32):
        assert (mel_filters(size, sample_rate=RATE).sum(dim=0) > 0).all(), size

import math

import pytest
import torch

from stable_audio_open.audio.resample import resample, resampled_length

pytestmark = pytest.mark.numerical


def sine(rate: int, seconds: float, frequency: float = 440.0) -> torch.Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * frequency * time).float()


@pytest.mark.parametrize(("source", "target"), [(8000, 44100), (48000, 44100), (44100, 16000)])
def test_a_sine_stays_that_sine(source: int, target: int) -> None:
    found = resample(sine(source, 0.5), source, target)
    expected = sine(target, 0.5)
    inside = slice(target // 10, -target // 10)
    # soxr's high quality is specified to 20 bits; the ends, where the sine starts, are left out.
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=2e-5)


@pytest.mark.parametrize("length", [1, 7, 1000])
@pytest.mark.parametrize(("source", "target"), [(8000, 44100), (44100, 8000)])
def test_length_and_leading_axes(length: int, source: int, target: int) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2, 3, length, generator=generator)
    found = resample(samples, source, target)
    assert found.shape == (2, 3, resampled_length(length, source, target))
    torch.testing.assert_close(found[1, 2], resample(samples[1, 2], source, target))


def test_nothing_stays_nothing() -> None:
    for shape in ((1, 2, 0), (0, 2, 100)):
        found = resample(torch.zeros(shape), 44100, 48000)
        assert found.shape == (*shape[:-1], resampled_length(shape[-1], 44100, 48000))


def test_equal_rates_change_nothing() -> None:
    samples = torch.ones(1, 4)
    assert resample(samples, 44100, 44100) is samples


@pytest.mark.parametrize("rate", [-1, 0, 1, 999, 768_001])
def test_rates_of_no_sound_are_refused(rate: int) -> None:
    """At 1 Hz a minute of sound is gigabytes, and from 2 GHz on soxr ends the process."""
    for pair in ((rate, 44100), (44100, rate)):
        with pytest.raises(ValueError, match=f"within 1000 to 768000 Hz, got {rate}; 44100 is"):
            resample(torch.ones(4), *pair)

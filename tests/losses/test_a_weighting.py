import math

import auraloss
import pytest
import torch
from torch import Tensor

from stable_audio_open.losses.a_weighting import a_weighting_filter

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("rate", [44100, 48000, 16000])
def test_filter_is_that_of_auraloss(rate: int) -> None:
    expected = auraloss.perceptual.FIRFilter("aw", fs=rate, ntaps=101).fir.weight.data.flatten()
    torch.testing.assert_close(a_weighting_filter(rate), expected)


def gain(taps: Tensor, frequency: float, rate: int) -> float:
    phases = torch.arange(len(taps)) * (2 * math.pi * frequency / rate)
    return float(20 * (taps * torch.exp(-1j * phases)).sum().abs().log10())


def test_filter_follows_the_curve_of_hearing() -> None:
    # IEC 61672 lists 0 dB at 1 kHz and +1.2 dB at 2 kHz; 101 taps are too few for low notes.
    taps = a_weighting_filter(44100)
    assert gain(taps, 1000, 44100) == pytest.approx(0, abs=1)
    assert gain(taps, 2000, 44100) == pytest.approx(1.2, abs=0.5)
    assert gain(taps, 100, 44100) < -8
    assert torch.equal(taps, taps.flip(0)) or torch.allclose(taps, taps.flip(0))

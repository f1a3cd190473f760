"""Sounds of another peak or loudness."""

import pytest
import torch

from stable_audio_open.audio.level.loudness import at_loudness, integrated_loudness
from stable_audio_open.audio.level.peaks import amplitude, at_peak, decibels, peak_of

RATE = 48000


def noise(level: float = 0.05) -> torch.Tensor:
    return level * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))


def test_decibels_and_amplitudes() -> None:
    assert amplitude(-20) == pytest.approx(0.1)
    assert decibels(amplitude(-7.3)) == pytest.approx(-7.3)
    assert peak_of(torch.tensor([[-0.5, 0.2]])) == 0.5
    assert peak_of(torch.zeros(2, 0)) == 0


def test_a_sound_of_another_peak() -> None:
    for wanted in (0.01, 0.5, 1.0):
        found = at_peak(noise(), wanted)
        assert peak_of(found) == pytest.approx(wanted)
        torch.testing.assert_close(found / wanted, noise() / peak_of(noise()))
    assert not at_peak(torch.zeros(1, 5), 0.5).any()


def test_loudness_ends_where_the_peak_would_exceed_the_ceiling() -> None:
    louder, missing = at_loudness(noise(), RATE, -20.0)
    assert missing == 0
    assert integrated_loudness(louder, RATE) == pytest.approx(-20, abs=1e-3)
    for ceiling, peak in ((1.0, None), (0.5, None), (0.5, 2 * peak_of(noise()))):
        louder, missing = at_loudness(noise(), RATE, 0.0, peak=peak, ceiling=ceiling)
        expected = ceiling if peak is None else ceiling / 2
        assert peak_of(louder) == pytest.approx(expected)
        reached = integrated_loudness(louder, RATE)
        assert reached is not None
        assert reached == pytest.approx(-missing, abs=1e-3)
    silent = torch.full((1, RATE), 1e-6)
    found, missing = at_loudness(silent, RATE, -16.0)
    assert torch.equal(found, silent)
    assert missing == 0

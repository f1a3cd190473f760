import pytest
import torch

from stable_audio_open.audio.level.silence import is_silent, sound_end

pytestmark = pytest.mark.numerical


def test_sound_ends_after_its_last_loud_sample() -> None:
    samples = torch.zeros(3, 2, 1000)
    samples[0, 1, :250] = 0.5
    samples[0, 0, 250:] = 0.0009
    samples[1, 0, 999] = -1.0
    assert sound_end(samples, 1000) == [0.25, 1.0, 0.0]


def test_the_threshold_is_in_decibels_of_full_scale() -> None:
    samples = torch.full((1, 1, 10), 0.05)
    assert sound_end(samples, 10, threshold_db=-27.0) == [1.0]
    assert sound_end(samples, 10, threshold_db=-26.0) == [0.0]


@pytest.mark.parametrize(("level", "silent"), [(0.0, True), (0.0009, True), (0.0011, False)])
def test_silence(level: float, silent: bool) -> None:
    assert is_silent(torch.full((2, 5), level)) is silent


def test_nothing_is_silent() -> None:
    assert is_silent(torch.zeros(2, 0))
    assert sound_end(torch.zeros(1, 2, 0), 44100) == [0.0]

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio_models.embedder import recording_vector
from stable_audio_open.audio_models.log_mel_embedder import (
    AT_ONCE,
    FRAMES,
    HOP,
    LogMelEmbedder,
    MeanLogMelEmbedder,
)
from stable_audio_open.audio_models.registry import EMBEDDERS

pytestmark = pytest.mark.numerical

RATE = LogMelEmbedder.sample_rate
EMBEDDER = LogMelEmbedder()


def tone(hertz: float, seconds: float = 1.0) -> Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return (-4 * time).exp() * (2 * torch.pi * hertz * time).sin()


def cosine(one: Tensor, other: Tensor) -> float:
    vectors = [recording_vector(EMBEDDER, sound) for sound in (one, other)]
    return float(functional.cosine_similarity(*vectors, dim=0))


def test_levels_do_not_count_and_pitch_and_time_do() -> None:
    sound = tone(440)
    # In float32, bands 60 dB below the loudest are rounded otherwise at another level.
    assert cosine(sound, 0.1 * sound) > 0.9999
    later = functional.pad(sound, (RATE // 2, 0))
    assert cosine(sound, tone(443)) > 0.99
    assert cosine(sound, tone(1200)) < 0.5
    assert cosine(sound, later) < cosine(sound, tone(443)) - 0.1


def test_silence_behind_a_sound_changes_nothing() -> None:
    sound = tone(440)
    torch.testing.assert_close(EMBEDDER(functional.pad(sound, (0, RATE))), EMBEDDER(sound))


def test_windows_and_range() -> None:
    window = 94 * 1024
    for length, windows in ((1, 1), (window, 1), (window + 1, 2), (3 * window, 3)):
        vectors = EMBEDDER(torch.rand(length, generator=torch.Generator().manual_seed(0)) - 0.5)
        assert vectors.shape == (windows, 64 * 94)
        assert 0 < vectors.min() <= vectors.max() <= 1


def test_silence_is_like_silence_alone() -> None:
    assert torch.equal(EMBEDDER(torch.zeros(100)), EMBEDDER(torch.zeros(RATE)))
    noise = torch.rand(RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    assert cosine(torch.zeros(100), tone(440)) < 0.5
    assert cosine(noise, tone(440)) < 0.6


def test_it_has_a_name_for_commands() -> None:
    assert isinstance(EMBEDDERS.load("log-mel"), LogMelEmbedder)
    assert isinstance(EMBEDDERS.load("mean-log-mel"), MeanLogMelEmbedder)


MEAN = MeanLogMelEmbedder()


def test_the_mean_is_that_of_the_frames_of_a_window() -> None:
    sound = tone(440, seconds=FRAMES * HOP / RATE)
    frames = EMBEDDER(sound).reshape(FRAMES, 64)
    torch.testing.assert_close(MEAN(sound), frames.mean(dim=0, keepdim=True))


def test_the_mean_knows_pitch_and_not_level_or_order() -> None:
    half, other = tone(440), tone(2000)
    one = torch.cat([half, other])
    torch.testing.assert_close(MEAN(one), MEAN(0.1 * one), rtol=1e-3, atol=1e-3)
    # They meet in the middle of a frame.
    torch.testing.assert_close(MEAN(one), MEAN(torch.cat([other, half])), rtol=0.05, atol=0.02)
    assert float((MEAN(half) - MEAN(other)).abs().max()) > 0.3


def test_the_mean_of_any_length_is_one_vector() -> None:
    generator = torch.Generator().manual_seed(0)
    for length in (1, 1024, 1025, 100_000):
        vector = MEAN(torch.rand(length, generator=generator) - 0.5)
        assert vector.shape == (1, 64)
        assert 0 < vector.min() <= vector.max() <= 1
    assert torch.equal(MEAN(torch.zeros(100)), MEAN(torch.zeros(RATE)))


def test_the_mean_of_a_long_recording_is_taken_in_parts() -> None:
    """Of seven minutes, which is the same minute again and again."""
    minute = torch.rand(60 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    long = minute.repeat(7)
    assert len(long) > 2 * AT_ONCE * FRAMES * HOP
    torch.testing.assert_close(MEAN(long), MEAN(minute), rtol=1e-3, atol=1e-3)

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio_models.embedder import recording_vector
from stable_audio_open.audio_models.log_mel_embedder import LogMelEmbedder
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

import pytest
import torch

from stable_audio_open.audio.audio import Audio


def audio(batch: int = 2, seeds: tuple[int, ...] = (7, 8)) -> Audio:
    generator = torch.Generator().manual_seed(0)
    return Audio(torch.rand(batch, 2, 4410, generator=generator) * 0.5, 44100, seeds)


def test_what_it_knows() -> None:
    both = audio()
    assert (both.duration, both.channels, both.seed, len(both)) == (0.1, 2, 7, 2)
    assert Audio(torch.zeros(1, 1, 5), 10).seed is None
    assert repr(both) == "Audio(2 x 2 channels x 0.100 s at 44100 Hz, seeds=(7, 8))"


def test_items_keep_their_seed() -> None:
    both = audio()
    assert [item.seeds for item in both] == [(7,), (8,)]
    assert torch.equal(torch.cat([item.samples for item in both]), both.samples)
    assert both[-1].seed == 8


def test_trim() -> None:
    assert audio().trim(0.05).samples.shape == (2, 2, 2205)
    assert audio().trim(0.05).seeds == (7, 8)
    assert audio().trim(9.0).duration == 0.1
    with pytest.raises(ValueError, match=r"cannot trim to 0.0 s; give a positive number"):
        audio().trim(0.0)


def test_sound_end() -> None:
    samples = torch.zeros(1, 2, 100)
    samples[..., :40] = 0.3
    assert Audio(samples, 100).sound_end() == [0.4]


def test_it_refuses_what_is_not_audio() -> None:
    with pytest.raises(ValueError, match=r"float32 of shape .* got torch.float64 of shape"):
        Audio(torch.zeros(1, 2, 3, dtype=torch.float64), 44100)
    with pytest.raises(ValueError, match="sample_rate must be positive, got 0"):
        Audio(torch.zeros(1, 2, 3), 0)
    with pytest.raises(ValueError, match="got 2 seeds for 1 items; give one per item or none"):
        Audio(torch.zeros(1, 2, 3), 44100, (1, 2))

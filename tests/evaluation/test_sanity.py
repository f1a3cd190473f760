import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.loudness import integrated_loudness
from stable_audio_open.evaluation.sanity import (
    clipped_samples,
    evaluate_sanity,
    facts,
    stereo_width,
)


def sine(hertz: float, level: float = 1.0, *, rate: int = 48000, seconds: float = 5) -> Tensor:
    time = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    return (level * torch.sin(2 * math.pi * hertz * time)).float()


def noise(seed: int, length: int = 40000) -> Tensor:
    return 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_of_the_standards_sine(rate: int) -> None:
    """BS.1770: 997 Hz at full scale in one front channel is -3.01 LUFS, in both 0.00."""
    tone = sine(997, rate=rate)
    assert integrated_loudness(tone[None], rate) == pytest.approx(-3.01, abs=0.01)
    assert integrated_loudness(torch.stack([tone, tone]), rate) == pytest.approx(0, abs=0.01)
    assert integrated_loudness(0.1 * tone[None], rate) == pytest.approx(-23.01, abs=0.01)


def test_loudness_leaves_silence_and_quiet_passages_out() -> None:
    loud, quiet = sine(997, 0.1), sine(997, 0.001)
    alone = integrated_loudness(loud[None], 48000)
    assert alone is not None
    silent, hushed = torch.zeros(480000), torch.cat([quiet, quiet])
    for rest in (silent, hushed):
        found = integrated_loudness(torch.cat([loud, rest])[None], 48000)
        assert found == pytest.approx(alone, abs=0.3)
    assert integrated_loudness(torch.zeros(1, 48000), 48000) is None


def test_bandwidth_and_rolloff_of_two_sines() -> None:
    audio = (sine(1000, 0.5) + sine(9000, 0.0005))[None]
    found = facts(audio, 48000)
    assert found.rolloff == pytest.approx(1000, abs=50)
    assert found.bandwidth == pytest.approx(9000, abs=100)
    assert found.peak_db == pytest.approx(-6.02, abs=0.02)


def test_width_of_mono_unrelated_and_opposite_sides() -> None:
    one, other = noise(0), noise(1)
    assert stereo_width(one[None]) == 0
    assert stereo_width(torch.stack([one, one])) == 0
    assert stereo_width(torch.stack([one, -one])) == 1
    assert stereo_width(torch.stack([one, other])) == pytest.approx(0.5, abs=0.02)
    assert stereo_width(torch.stack([one, 0 * one])) == 0.5


def test_clipping_counts_runs_of_three_and_no_single_peaks() -> None:
    audio = torch.zeros(2, 100)
    audio[0, 10] = 1
    audio[0, 20:22] = -1
    assert clipped_samples(audio) == 0
    audio[1, 30:33] = 1
    audio[1, 97:] = -1
    audio[0, :4] = torch.tensor([1.0, -1.0, 1.0, 1.0])
    assert clipped_samples(audio) == 10
    assert clipped_samples((2 * sine(100)).clamp(-1, 1)[None]) > 48000


def test_silence_has_no_levels() -> None:
    found = facts(torch.zeros(2, 4000), 16000)
    assert found.silent
    assert (found.peak_db, found.loudness, found.rolloff, found.bandwidth, found.width) == (
        None,
    ) * 5


def test_a_set_of_silent_files_is_caught(folders: dict[str, Path]) -> None:
    found = evaluate_sanity(folders["silent"])
    assert found.silent == tuple(f"sound_{index:02}" for index in range(24))
    assert found.faults == ("24 of 24 recordings are silent ('sound_00' first)",)
    assert found.median_loudness is None
    sound = evaluate_sanity(folders["same"])
    assert (sound.silent, sound.clipped, sound.faults) == ((), (), ())
    low = evaluate_sanity(folders["low-passed"])
    assert low.median_bandwidth is not None
    assert sound.median_bandwidth is not None
    assert low.median_bandwidth < 1100 < sound.median_bandwidth


def test_clipped_mono_and_mixed_rates_are_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", (2 * sine(100)).clamp(-1, 1).numpy(), 48000)
    soundfile.write(tmp_path / "b.wav", torch.stack([noise(0), noise(1)], dim=1).numpy(), 16000)
    found = evaluate_sanity(tmp_path)
    assert (found.clipped, found.mono) == (("a",), ("a",))
    assert (found.sample_rate, found.channels) == (None, None)
    assert found.faults == (
        "1 of 2 recordings are clipped ('a' first)",
        "sample rates differ: 16000, 48000 Hz",
    )

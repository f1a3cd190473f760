import math
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.level.loudness import integrated_loudness
from stable_audio_open.evaluation.sanity import (
    bandwidth,
    clipped_samples,
    evaluate_sanity,
    facts,
    rolloff,
    spectra,
    stereo_width,
)

pytestmark = pytest.mark.numerical


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


@pytest.mark.slow
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


@pytest.mark.parametrize("place", [0, 1, 1024, 40000, 43500, 44099])
def test_sound_at_the_very_ends_counts(place: int) -> None:
    """A click has as much in every bin; frames that miss it have none."""
    audio = torch.zeros(2, 44100)
    audio[:, place] = 0.9
    found = facts(audio, 44100)
    assert found.rolloff == pytest.approx(0.995 * 22050, abs=0.006 * 22050)
    assert (found.bandwidth, found.width) == (22050, 0)


def test_rolloff_is_of_the_energy_of_the_whole_recording() -> None:
    """By Parseval: the attack of a drum hit lies where the first frame inside hardly hears it."""
    time = torch.arange(22050) / 44100
    thump = torch.sin(2 * math.pi * 60 * time) * torch.exp(-8 * time)
    attack = 15 * noise(0, 22050) * torch.exp(-1500 * time)
    audio = 0.4 * (thump + attack)[None]
    below = torch.fft.rfft(audio[0].double()).abs().square().cumsum(dim=0)
    wanted = int((below < 0.99 * below[-1]).sum()) * 2  # bins of 2 Hz
    assert wanted > 5000
    # The squares of overlapping Hann windows weigh samples by 0.5 to 1.
    found = facts(audio, 44100).rolloff
    assert found == pytest.approx(wanted, rel=0.15)


def test_what_is_cut_off_at_full_level_is_not_taken_for_a_click() -> None:
    audio = sine(100, 0.9, rate=44100)[110:]
    assert float(audio[0].abs()) > 0.8
    found = facts(audio[None], 44100)
    assert found.bandwidth is not None
    assert found.bandwidth < 500


def test_no_power_has_no_frequency_and_no_width() -> None:
    silence = torch.zeros(2, 5000)
    power = spectra(silence).whole
    assert (rolloff(power, 44100), bandwidth(power, 44100)) == (None, None)
    assert stereo_width(silence) is None
    assert stereo_width(silence[:1]) is None


def test_blocks_give_what_the_whole_gives() -> None:
    """Longer than a block of spectra, by no whole number of them."""
    audio = torch.stack([noise(0, 600_000), 0.3 * noise(1, 600_000)]).double()
    window = torch.hann_window(2048, dtype=torch.float64)
    found = spectra(audio.float())
    # The end of the last frame lies beyond the audio, as does the beginning of the first.
    for power, center in ((found.whole, True), (found.inside, False)):
        longer = torch.nn.functional.pad(audio, (0, 1024 * center))
        theirs = torch.stft(
            longer, 2048, 1024, window=window, center=center, pad_mode="constant",
            return_complex=True,
        )  # fmt: skip
        torch.testing.assert_close(power, theirs.abs().square().sum(dim=(0, 2)))
    mid, side = audio.sum(dim=0).square().sum(), (audio[0] - audio[1]).square().sum()
    assert stereo_width(audio.float()) == pytest.approx(float(side / (mid + side)), rel=1e-9)


def test_loudness_is_filtered_in_pieces_without_a_seam() -> None:
    """An offset that comes slowly is not heard; at a seam, it would be a click."""
    tone = sine(997, 0.01, seconds=25.35)
    coming = torch.linspace(0, math.pi, 5 * 48000).cos()
    offset = 0.15 - 0.15 * torch.cat([coming, -torch.ones(len(tone) - len(coming))])
    one, other = (integrated_loudness(audio[None], 48000) for audio in (tone, tone + offset))
    assert one == pytest.approx(other, abs=1e-3)


MEMORY = """
import resource, sys, torch
from stable_audio_open.evaluation.sanity import facts
seconds = int(sys.argv[1])
generator = torch.Generator().manual_seed(0)
facts(0.1 * torch.randn(2, 44100, generator=generator), 44100)
audio = 0.1 * torch.randn(2, 44100 * seconds, generator=generator)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
facts(audio, 44100)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / audio.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_memory_stays_within_a_few_times_the_audio() -> None:
    """Measured in a process of its own: 4 times; all spectra at once took 9."""
    found = subprocess.run(
        [sys.executable, "-c", MEMORY, "120"], capture_output=True, text=True, check=True
    )
    assert float(found.stdout) < 6

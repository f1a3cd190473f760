import logging
import math
from typing import Any

import pyloudnorm
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.finishing import Finishing, fade_out, finish
from stable_audio_open.audio.level.loudness import integrated_loudness
from stable_audio_open.audio.level.peaks import true_peak
from stable_audio_open.audio.level.silence import without_silence

RATE = 48000


def noise(seconds: float = 2.0, level: float = 0.05, rate: int = RATE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return level * torch.randn(2, round(seconds * rate), generator=generator)


def tone(frequency: float, seconds: float = 1.0, phase: float = 0.0, rate: int = RATE):
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * frequency * time + phase).float()[None]


def measured(samples: torch.Tensor, rate: int = RATE) -> float:
    """By the library's own default filters."""
    return float(pyloudnorm.Meter(rate).integrated_loudness(samples.T.double().numpy()))


def decibels(value: float) -> float:
    return 20 * math.log10(value)


def test_a_fade_ends_at_zero_and_changes_nothing_else() -> None:
    samples = torch.ones(2, 1000)
    faded = fade_out(samples, 1000, 0.1)
    assert torch.equal(faded[:, :900], samples[:, :900])
    assert (faded[:, 900:].diff(dim=1) < 0).all()
    assert (faded[:, -1].abs() < 1e-6).all()
    assert torch.equal(fade_out(samples, 1000, 0), samples)
    assert float(fade_out(samples, 1000, 5.0)[0, 500]) == pytest.approx(0.5, abs=0.01)


def test_a_sound_of_no_samples_stays_one() -> None:
    sound = Audio(torch.zeros(1, 2, 0), RATE)
    found = sound.finish(trim_silence=True, sample_rate=44100, channels=1, loudness=-16)
    assert (found.samples.shape, found.sample_rate) == ((1, 1, 0), 44100)


def test_silence_is_cut_off_on_both_sides_alone() -> None:
    samples = torch.full((2, 1000), 0.0009)
    samples[1, 200] = samples[0, 700] = 0.5
    assert torch.equal(without_silence(samples), samples[:, 200:701])
    quiet = torch.full((2, 1000), 0.0009)
    assert torch.equal(without_silence(quiet), quiet)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_the_true_peak_is_that_between_the_samples(rate: int) -> None:
    """A sine of a quarter of the rate, sampled 45 degrees beside its peaks: 3 dB below them."""
    sine = tone(rate / 4, phase=math.pi / 4, rate=rate)
    sine = sine * torch.hann_window(sine.shape[1])
    assert float(sine.abs().max()) == pytest.approx(math.sqrt(0.5), abs=1e-3)
    assert true_peak(sine, rate) == pytest.approx(1.0, abs=0.005)


def test_the_true_peak_at_the_ends_counts() -> None:
    block = torch.full((1, 64), 0.5)
    assert true_peak(block, RATE) > 0.53  # what overshoots where it begins and ends
    assert true_peak(torch.zeros(2, 10), RATE) == 0
    assert true_peak(torch.zeros(2, 0), RATE) == 0
    assert true_peak(0.25 * torch.ones(1, 9), 192000) == 0.25


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_loudness_is_what_was_asked_for(rate: int) -> None:
    louder, word = finish(noise(rate=rate), rate, Finishing(loudness=-20.0))
    assert word == ""
    assert integrated_loudness(louder, rate) == pytest.approx(-20, abs=1e-3)
    # Of white noise, which has most of its power above what 44.1 and 16 kHz can hold, less exact.
    assert measured(louder, rate) == pytest.approx(-20, abs=0.3)


def test_loudness_ends_at_the_true_peak() -> None:
    clicks = torch.zeros(2, 2 * RATE)
    clicks[:, ::8000] = 1.0
    louder, word = finish(clicks, RATE, Finishing(loudness=-5.0))
    assert decibels(true_peak(louder, RATE)) == pytest.approx(-1, abs=0.01)
    reached = integrated_loudness(louder, RATE)
    assert reached is not None
    assert word == f"{reached:.1f} LUFS instead of -5: the true peak would exceed -1 dB"


def test_a_short_sound_is_measured_with_silence_behind_it() -> None:
    short = noise(0.2)
    louder, _ = finish(short, RATE, Finishing(loudness=-20.0))
    assert louder.shape == short.shape
    padded = torch.nn.functional.pad(louder, (0, RATE // 5))
    assert measured(padded) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_silence_stays(level: float) -> None:
    silent = torch.full((2, RATE), level)
    louder, word = finish(silent, RATE, Finishing(loudness=-16.0))
    assert torch.equal(louder, silent)
    assert word == ""
    silent = torch.zeros(1, 2, 100)
    assert torch.equal(Audio(silent, RATE).finish(peak=-1).samples, silent)


def test_a_batch_is_finished_item_by_item(caplog: pytest.LogCaptureFixture) -> None:
    samples = torch.stack([noise(1.0), 0.1 * noise(1.0), torch.zeros(2, RATE)])
    samples[1, :, : RATE // 4] = 0
    batch = Audio(samples, RATE, (1, 2, 3), (RATE, RATE // 2, RATE))
    with caplog.at_level(logging.WARNING):
        done = batch.finish(trim_silence=True, sample_rate=24000, channels=1, fade=0.01, peak=-1)
    assert (done.sample_rate, done.channels, done.seeds) == (24000, 1, (1, 2, 3))
    assert done.lengths == (24000, 6000, 24000)
    assert decibels(float(done[0].samples.abs().max())) == pytest.approx(-1, abs=1e-3)
    assert decibels(float(done[1].samples.abs().max())) == pytest.approx(-1, abs=1e-3)
    assert not done.samples[2].any()
    assert (done[1].samples[..., -1].abs() < 1e-5).all()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        batch.finish(loudness=-1)
    assert "item 0 is at -" in caplog.text
    assert " LUFS instead of -1: the true peak would exceed -1 dB" in caplog.text


def test_a_loop_has_no_end() -> None:
    loop = Audio(noise(0.1)[None], RATE, loop=True)
    assert loop.finish(loudness=-30).loop
    for wrong in ({"fade": 0.005}, {"trim_silence": True}):
        with pytest.raises(ValueError, match="a loop has no end: leave out fade and trim_silence"):
            loop.finish(**wrong)


def test_tags_say_what_was_done_in_its_order() -> None:
    made = Audio(noise(0.1)[None], RATE, fade=0.005, tags=({"stable_audio_open": "1"},))
    assert made.finish(fade=0).tags == ({"stable_audio_open": "1"},)
    twice = made.finish(peak=-3.0).finish(channels=1)
    assert twice.tags[0]["finishing"] == [{"fade": 0.005, "peak": -3.0}, {"channels": 1}]
    loud = made.finish(fade=0, peak=0.0)  # a level, if 0
    assert loud.tags[0]["finishing"] == [{"peak": 0.0}]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sample_rate": 0}, "sample_rate must be 1000 to 768000 Hz, got 0; 48000 is usual"),
        ({"sample_rate": 999}, "sample_rate must be 1000 to 768000 Hz, got 999"),
        ({"sample_rate": 768_001}, "sample_rate must be 1000 to 768000 Hz, got 768001"),
        ({"channels": 3}, "channels must be 1 or 2, got 3"),
        ({"fade": math.inf}, "fade must be at least 0 seconds, got inf"),
        ({"loudness": -70.0}, "loudness must be above -70 and at most 0 LUFS, got -70.0"),
        ({"loudness": 0.5}, "loudness must be above -70 and at most 0 LUFS, got 0.5"),
        ({"peak": -200.5}, "peak must be -200 to 0 decibels of full scale, got -200.5"),
        ({"peak": math.nan}, "peak must be -200 to 0 decibels of full scale, got nan"),
        ({"fade": -1.0}, "fade must be at least 0 seconds, got -1.0"),
        ({"loudness": 16.0}, "loudness must be above -70 and at most 0 LUFS, got 16.0; -16 is"),
        ({"loudness": math.nan}, "loudness must be above -70 and at most 0 LUFS, got nan"),
        ({"peak": 1.0}, "peak must be -200 to 0 decibels of full scale, got 1.0; -1 is usual"),
        ({"peak": -1.0, "loudness": -16.0}, "loudness -16 and peak -1 are two levels for one"),
    ],
)
def test_values_out_of_range_are_told(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Finishing(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{message}"):
        Audio(torch.zeros(1, 1, 9), RATE).finish(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ends",
    [
        {"sample_rate": 1000}, {"sample_rate": 768_000}, {"channels": 1}, {"channels": 2},
        {"fade": 0.0}, {"loudness": 0.0}, {"loudness": -69.9}, {"peak": 0.0}, {"peak": -200.0},
    ],
)  # fmt: skip
def test_the_ends_of_ranges_belong_to_them(ends: dict[str, Any]) -> None:
    settings = Finishing(**ends)
    assert {name: getattr(settings, name) for name in ends} == ends
    finish(noise(0.01), RATE, settings)


def test_loudness_of_many_channels_is_not_defined() -> None:
    with pytest.raises(ValueError, match="loudness is that of mono or stereo, got 3 channels"):
        Audio(torch.ones(1, 3, RATE), RATE).finish(loudness=-16)

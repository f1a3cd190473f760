"""Thresholds of loudness and bandwidth, from both of their sides."""

import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.level.loudness import integrated_loudness
from stable_audio_open.evaluation.sanity import evaluate_sanity, facts

pytestmark = pytest.mark.numerical

RATE = 48000


def sine(hertz: float, decibels: float, seconds: float) -> Tensor:
    """A sine with its peak so far from full scale."""
    time = torch.arange(round(RATE * seconds), dtype=torch.float64) / RATE
    return (10 ** (decibels / 20) * torch.sin(2 * math.pi * hertz * time)).float()


def loudness(*passages: tuple[float, float]) -> float | None:
    """Of a sine of 1 kHz in both channels, which is as loud as its peak; decibels and seconds."""
    mono = torch.cat([sine(1000, decibels, seconds) for decibels, seconds in passages])
    return integrated_loudness(torch.stack([mono, mono]), RATE)


@pytest.mark.parametrize(
    "passages",
    [
        ((-23, 10),),
        ((-36, 5), (-23, 30), (-36, 5)),
        ((-72, 5), (-36, 5), (-23, 30), (-36, 5), (-72, 5)),
        ((-26, 10), (-20, 10.05), (-26, 10)),
    ],
)
def test_signals_of_ebu_tech_3341(passages: tuple[tuple[float, float], ...]) -> None:
    """Cases 1 and 3 to 5 at half their length: all of them are at -23 +- 0.1 LUFS."""
    assert loudness(*passages) == pytest.approx(-23, abs=0.1)


def test_passages_10_below_the_mean_count_no_more() -> None:
    """12 dB below the other half is 9.3 below the mean of both, 14 dB is 11.2 below it."""
    both = -20 + 10 * math.log10((1 + 10**-1.2) / 2)
    assert loudness((-20, 10), (-32, 10)) == pytest.approx(both, abs=0.1)
    assert loudness((-20, 10), (-34, 10)) == pytest.approx(-20, abs=0.1)


def test_nothing_below_70_is_loud() -> None:
    assert loudness((-69, 1)) == pytest.approx(-69, abs=0.1)
    assert loudness((-71, 1)) is None


def test_bandwidth_ends_80_below_the_strongest() -> None:
    strong, weak, nothing = sine(1000, -6, 2), sine(9000, -6 - 78, 2), sine(15000, -6 - 82, 2)
    found = facts((strong + weak + nothing)[None], RATE)
    assert found.bandwidth == pytest.approx(9000, abs=100)


def test_blocks_overlap_by_three_quarters() -> None:
    """Of 0.4 s and silence, four blocks hold sound: all, 3/4, 1/2 and 1/4 of their length."""
    mono = torch.cat([sine(1000, -20, 0.4), torch.zeros(RATE)])
    found = integrated_loudness(torch.stack([mono, mono]), RATE)
    assert found == pytest.approx(-20 + 10 * math.log10(2.5 / 4), abs=0.1)


@pytest.mark.parametrize(("share", "hertz"), [(0.02, 9000), (0.005, 1000)])
def test_rolloff_leaves_one_hundredth_of_the_energy_above(share: float, hertz: float) -> None:
    """Energy goes with the square of the amplitude; left and right count alike."""
    low, high = sine(1000, -20, 2), sine(9000, -20 + 10 * math.log10(2 * share / (1 - share)), 2)
    found = facts(torch.stack([low, low + high]), RATE)
    assert found.rolloff == pytest.approx(hertz, abs=100)


def test_three_samples_at_full_scale_are_clipped() -> None:
    samples = torch.zeros(2, 100)
    samples[0, 10:13] = torch.tensor([1.0, 0.9995, 1.0])
    samples[1, 20:22] = 1.0  # as a peak that was brought to full scale
    samples[1, 30:34] = 0.995
    samples[1, 40:44] = -1.0
    assert facts(samples, RATE).clipped == 7


@pytest.mark.parametrize(("side_db", "mono"), [(-29, ()), (-31, ("one",))])
def test_a_side_30_below_the_middle_is_none(
    side_db: float, mono: tuple[str, ...], tmp_path: Path
) -> None:
    middle, side = sine(1000, -6, 1), sine(3000, -6 + side_db, 1)
    both = torch.stack([middle + side, middle - side])
    soundfile.write(tmp_path / "one.wav", both.T.numpy(), RATE, subtype="FLOAT")
    assert evaluate_sanity(tmp_path).mono == mono

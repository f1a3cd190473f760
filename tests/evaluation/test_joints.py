"""The measure of joints passes what belongs together, and fails what does not."""

import math

import pytest
import torch
from torch import Tensor

from stable_audio_open.evaluation.joints import Joint, level_difference, measure_joint

RATE = 16000
AT = RATE


def rain(seed: int, *, seconds: float = 2.0, level: float = 0.1) -> Tensor:
    """Stereo noise whose level wanders by a few dB."""
    generator = torch.Generator().manual_seed(seed)
    time = round(seconds * RATE)
    noise = torch.randn(2, time, generator=generator)
    wander = 1 + 0.3 * torch.sin(2 * math.pi * 3 * torch.arange(time) / RATE + seed)
    return level * noise * wander


def hum(frequency: float, *, level: float = 0.3, phase: float = 0.0) -> Tensor:
    """Two seconds of a chord that beats."""
    angle = 2 * math.pi * frequency * torch.arange(2 * RATE) / RATE + phase
    return level * torch.stack((angle.sin() + (1.5 * angle).sin(), angle.cos()))


def joined(before: Tensor, after: Tensor) -> Tensor:
    return torch.cat((before[:, :AT], after[:, AT:]), dim=1)


@pytest.mark.parametrize("sound", [rain(0), hum(220), hum(83)])
@pytest.mark.parametrize("width", [0, 300])
def test_a_sound_passes_within_itself(sound: Tensor, width: int) -> None:
    joints = [measure_joint(sound, RATE, at, width=width) for at in range(4000, 28000, 1501)]
    assert sum(joint.passes for joint in joints) == len(joints)


def test_a_phase_that_jumps_is_a_click() -> None:
    joint = measure_joint(joined(hum(220), hum(220, phase=2.0)), RATE, AT)
    assert joint.click > 20
    assert not joint.passes


def test_the_click_is_found_anywhere_in_a_crossfade() -> None:
    sound = hum(220)
    sound[:, AT + 200] += 0.05
    assert not measure_joint(sound, RATE, AT, width=300).passes
    assert measure_joint(sound, RATE, AT + 1600, width=300).passes


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_step_in_level_is_a_gap(factor: float) -> None:
    joint = measure_joint(joined(rain(1), factor * rain(1)), RATE, AT)
    assert joint.gap > 3
    assert not joint.passes


def test_another_spectrum_at_the_same_level_is_a_gap_by_bands() -> None:
    low = hum(220)
    noise = rain(2)
    noise *= (low.square().mean() / noise.square().mean()).sqrt()
    joint = measure_joint(joined(noise, low), RATE, AT)
    assert joint.bands > 10
    assert not joint.passes


@pytest.mark.parametrize("sound", [rain(0), hum(220)])
def test_a_fade_at_the_joint_is_a_dip(sound: Tensor) -> None:
    faded = sound.clone()
    faded[:, AT - 400 : AT + 400] *= torch.linspace(-1, 1, 800).abs()
    joint = measure_joint(faded, RATE, AT)
    assert joint.dip > 3
    assert not joint.passes


@pytest.mark.parametrize("sound", [rain(0), hum(220)])
def test_silence_after_a_joint_fails(sound: Tensor) -> None:
    silenced = sound.clone()
    silenced[:, AT : AT + 8000] = 0
    assert not measure_joint(silenced, RATE, AT, others=[AT + 8000]).passes
    assert not measure_joint(silenced, RATE, AT + 8000, others=[AT]).passes


def test_steps_as_large_as_the_sounds_own_are_no_fault() -> None:
    """One of 16 beats begins at the joint; it may not end as suddenly as it begins."""
    time = torch.arange(2 * RATE)
    pulse = rain(3) * torch.exp(-(time % 2000) / 400)
    assert measure_joint(pulse, RATE, 16000).passes
    assert not measure_joint(
        torch.cat((pulse[:, :16100], 0.1 * pulse[:, 16100:]), 1), RATE, 16100
    ).passes


def test_neither_loudness_nor_channels_count() -> None:
    sound = joined(rain(1), 2 * rain(2))
    assert measure_joint(sound.flip(0) * 0.5, RATE, AT) == pytest.approx(
        measure_joint(sound, RATE, AT)
    )


@pytest.mark.parametrize(
    ("samples", "at", "fault"),
    [
        (rain(0), 100, "at least 960 samples away from both ends, got 100 of 32000"),
        (rain(0), 31900, "got 31900 of 32000"),
        (rain(0, seconds=0.5), 4000, "at least 100 are needed: about 0.7 s"),
        (torch.zeros(2, 2 * RATE), AT, "silent"),
    ],
)
def test_what_cannot_be_measured_is_refused(samples: Tensor, at: int, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        measure_joint(samples, RATE, at)


def test_passing_takes_all_of_them() -> None:
    joint = Joint(click=-1.0, gap=0.9, bands=-7.0, fall=-2.0, dip=0.0)
    assert joint.passes
    for kind in Joint._fields:
        assert not joint._replace(**{kind: 1.0}).passes


def test_the_level_of_spans_is_relative_to_the_rest() -> None:
    sound = torch.ones(2, 1000)
    sound[:, 100:300] = 0.5
    assert level_difference(sound, [(100, 300)]) == pytest.approx(20 * math.log10(0.5))
    sound[:, 700:800] = 0.5
    assert level_difference(sound, [(100, 300), (700, 800)]) == pytest.approx(-6.0206, abs=1e-4)
    sound[:, 100:300] = 0
    assert level_difference(sound, [(100, 300)]) == -math.inf
    assert level_difference(1 - sound, [(100, 300), (700, 800)]) == math.inf

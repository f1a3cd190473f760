"""Rings of samples."""

import math

import pytest
import torch

from stable_audio_open.audio.circular import close_ring, resample_ring

pytestmark = pytest.mark.numerical


def wave(turns: int, length: int) -> torch.Tensor:
    """A sine of so many turns, in a phase of its own."""
    return (2 * math.pi * turns * torch.arange(length, dtype=torch.float64) / length + 0.7).sin()


@pytest.mark.parametrize(("time", "length"), [(1024, 1000), (1000, 1024), (999, 1001), (64, 63)])
@pytest.mark.parametrize("turns", [0, 1, 7, 30])
def test_a_sine_of_whole_turns_stays_one(time: int, length: int, turns: int) -> None:
    torch.testing.assert_close(resample_ring(wave(turns, time), length), wave(turns, length))


def test_moving_a_ring_moves_its_resampling() -> None:
    ring = torch.randn(2, 2, 1000, generator=torch.Generator().manual_seed(0))
    found = resample_ring(ring.roll(500, -1), 998)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, resample_ring(ring, 998).roll(499, -1))
    assert resample_ring(ring, 1000) is ring


def test_what_cannot_be_held_is_left_out() -> None:
    high, low = wave(450, 1000), wave(3, 1000)
    torch.testing.assert_close(resample_ring(high + low, 800), wave(3, 800))


def test_the_end_goes_on_in_the_head() -> None:
    """A sawtooth of the whole ring: a step of it at the joint would be seen."""
    ring = torch.arange(1000.0)[None]
    closed = close_ring(ring, 900)[0]
    assert closed.shape == (900,)
    assert torch.equal(closed[100:], ring[0, 100:900])
    # From 899 on to 900, from which it fades to the head.
    assert float(closed[0]) == pytest.approx(900, abs=8)
    assert float(closed[99]) == pytest.approx(99, abs=10)
    assert torch.equal(close_ring(ring, 1000), ring)


def test_a_closed_ring_keeps_the_level_of_noise() -> None:
    ring = torch.randn(200, 1000, generator=torch.Generator().manual_seed(0))
    head = close_ring(ring, 700)[:, :300]
    assert float(head.std()) == pytest.approx(1, abs=0.02)
    levels = head.square().mean(dim=0).sqrt()
    assert 0.75 < float(levels.min()) < float(levels.max()) < 1.25

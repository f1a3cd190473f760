"""Memory of long sounds, in live tensor bytes."""

import pytest

from stable_audio_open.editing.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from tests.live_bytes import LiveBytes

pytestmark = pytest.mark.numerical

LATENTS = 8 * 4
"""Bytes of a latent frame."""


def peak(model: LatentDiffusion, duration: float, *, window: float, loop: bool) -> int:
    """Bytes at the peak of sampling, before anything is decoded."""
    live = LiveBytes()
    peaks: list[int] = []
    with live:
        generate(
            model,
            "deep kick",
            duration=duration,
            window=window,
            loop=loop,
            steps=2,
            seed=1,
            progress=False,
            callback=lambda _: peaks.append(live.peak),
        )
    return peaks[-1]


@pytest.mark.parametrize("loop", [False, True])
def test_beyond_the_latents_it_is_that_of_one_window(
    random_model: LatentDiffusion, loop: bool
) -> None:
    """Three minutes are to the published window of 47 s what 3.8 s are to the second here."""
    short = peak(random_model, 1.0, window=1.0, loop=loop)
    long = peak(random_model, 3.8, window=1.0, loop=loop)
    more = round(2.8 * 16000 / 32) * LATENTS
    # State, noise, x0 of two steps, sums and weights; and a few kilobytes of conditioning.
    assert long - short < 12 * more + 4 * 10_000
    assert long < 1.5 * short


def test_shorter_windows_need_less(random_model: LatentDiffusion) -> None:
    wide, narrow = (peak(random_model, 2.0, window=size, loop=False) for size in (1.0, 0.25))
    assert narrow < wide / 2

"""Long sounds and loops of a flow that is conditioned on `seconds_total` and `bpm` alone."""

import re
from typing import Any

import pytest
import torch

from stable_audio_open.diffusion.samplers import sampler_names
from stable_audio_open.editing.generate import generate
from stable_audio_open.generate import generate as story
from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical

RATE = 16000


def make(model: LatentDiffusion, **given: Any) -> tuple[torch.Tensor, list[dict[str, float]]]:
    """Return the samples, and the numbers that the conditioner was told."""
    told: list[dict[str, float]] = []
    hook = model.conditioner.register_forward_pre_hook(
        lambda _, inputs: told.append(
            {name: values.tolist()[0] for name, values in inputs[0].numbers.items()}
        )
    )
    settings: dict[str, Any] = {"steps": 3, "seed": 1, "progress": False}
    try:
        audio = generate(model, "deep kick", **settings | given)
    finally:
        hook.remove()
    return audio.samples, told


@pytest.mark.parametrize("sampler", sampler_names())
@pytest.mark.parametrize("loop", [False, True])
def test_every_sampler(random_flow: LatentDiffusion, sampler: str, loop: bool) -> None:
    samples, _ = make(
        random_flow,
        samples=20001,
        window=0.5,
        loop=loop,
        sampler=sampler,
        conditions={"bpm": 120},
    )
    assert samples.shape == (1, 2, 20001)
    assert samples.isfinite().all()
    assert samples.std() > 0


def test_each_window_is_told_that_it_is_all_there_is(random_flow: LatentDiffusion) -> None:
    _, told = make(random_flow, duration=1.2, window=0.5, conditions={"bpm": 120})
    assert told == [{"seconds_total": 0.5, "bpm": 120}] * 3
    _, told = make(random_flow, duration=1.2, window=0.5, loop=True, conditions={"bpm": 120})
    assert told == [{"seconds_total": 0.5, "bpm": 120}]


def test_the_tempo_of_a_loop_is_told_as_a_number_too(random_flow: LatentDiffusion) -> None:
    samples, told = make(random_flow, loop=True, bars=1, bpm=180)
    assert samples.shape[-1] == round(4 * 60 / 180 * RATE)
    assert {numbers["bpm"] for numbers in told} == {180}
    _, told = make(random_flow, loop=True, bars=1, bpm=180, conditions={"bpm": 90})
    assert {numbers["bpm"] for numbers in told} == {90}


def test_a_place_in_a_longer_recording_is_refused(random_flow: LatentDiffusion) -> None:
    message = "seconds_start is 2.0, but the model is not conditioned on it; leave it out"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(random_flow, duration=2.5, seconds_start=2.0, conditions={"bpm": 120})


def test_within_the_window_it_is_the_plain_story(random_flow: LatentDiffusion) -> None:
    found, _ = make(random_flow, duration=0.5, conditions={"bpm": 120})
    plain = story(
        random_flow, "deep kick", duration=0.5, conditions={"bpm": 120}, steps=3, seed=1,
        progress=False,
    )  # fmt: skip
    assert torch.equal(found, plain.samples)

"""Sounds on the way from one prompt or seed to another."""

import math
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.editing.interpolation import NoiseOnTheWay, interpolate, slerp
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "dpmpp-3m-sde"])
def test_the_ends_are_plain_generations(random_model: LatentDiffusion, sampler: str) -> None:
    asked: dict[str, Any] = {"steps": 2, "progress": False, "sampler": sampler}
    found = interpolate(random_model, ("deep kick", "bell"), seed=(3, 9), count=4, **asked)
    assert found.samples.shape == (4, 2, 16000)
    for index, prompt, seed in ((0, "deep kick", 3), (3, "bell", 9)):
        assert_alike(
            found.samples[index], generate(random_model, prompt, seed=seed, **asked).samples[0]
        )


def test_the_way_between_prompts_is_a_mixture(random_model: LatentDiffusion) -> None:
    asked: dict[str, Any] = {"steps": 2, "progress": False}
    found = interpolate(random_model, ("deep kick", "bell"), seed=3, count=5, **asked)
    mixed = generate(random_model, [("deep kick", 0.75), ("bell", 0.25)], seed=3, **asked)
    assert_alike(found.samples[1], mixed.samples[0])


def test_every_step_of_the_way_is_a_step(random_model: LatentDiffusion) -> None:
    found = interpolate(random_model, "deep kick", seed=(3, 9), count=5, steps=2, progress=False)
    ends = (found.samples[-1] - found.samples[0]).square().mean().sqrt()
    steps = (found.samples[1:] - found.samples[:-1]).square().mean(dim=(1, 2)).sqrt()
    assert (steps > 0.1 * ends).all()
    assert (steps < ends).all()


def test_noise_on_the_way_keeps_its_variance() -> None:
    noise = NoiseOnTheWay((1, 2), 7, (16, 500), torch.device("cpu"))
    for drawn in (noise.initial(), noise(1.0, 0.5), noise(0.5, 0.0)):
        torch.testing.assert_close(drawn.std(dim=(1, 2)), torch.ones(7), rtol=0.03, atol=0)
    start, end = initial_noise((16, 500), [1, 2])
    first = noise.initial()
    assert torch.equal(first[0], start)
    assert torch.equal(first[-1], end)


def test_slerp_of_two_axes() -> None:
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = slerp(x, y, torch.tensor([0.0, 1 / 3, 1.0]))
    expected = torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]])
    torch.testing.assert_close(found[1], expected)
    assert torch.equal(slerp(x, x, torch.tensor([0.0, 0.5]))[1], x)


def test_ends_that_nobody_chose_differ(random_model: LatentDiffusion) -> None:
    asked: dict[str, Any] = {"count": 3, "steps": 1, "duration": 0.1, "progress": False}
    first, last, again = interpolate(random_model, "kick", **asked).seeds
    assert first != last == again
    first, last, again = interpolate(random_model, ("kick", "bell"), **asked).seeds
    assert first == last == again


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1}, "count must be 2 to 1000 sounds, got 1"),
        ({"prompt": ("kick", "bell", "bass")}, "prompt must be a text or a pair of texts, got 3"),
        (
            {"seed": (1, 2, 3)},
            "seed must be one, the first and the last, or one for each of 8 sounds, got 3",
        ),
        ({"seed": (1, -2)}, "seed must be between 0 and 4294967295, got -2"),
        ({"prompt": ("kick", "")}, "prompt is empty; describe the sound in a few words"),
        *(
            (
                given,
                "prompt 'kick' and seed 7 are those of both ends, so all sounds would be the same; "
                "give two prompts or two seeds",
            )
            for given in ({"seed": 7}, {"seed": (7, 7)}, {"prompt": ("kick", "kick"), "seed": 7})
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_what_makes_no_sense_is_refused_in_one_line(
    random_model: LatentDiffusion, given: dict[str, Any], message: str
) -> None:
    def call(prompt: Any = "kick", **rest: Any) -> Audio:
        return interpolate(random_model, prompt, progress=False, **rest)

    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        call(**given)
    assert str(caught.value) == message

"""Prompts with weights, guidance of many kinds, and items with settings of their own."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical

RATE, FRAMES = 16000, 500


@pytest.fixture
def model(random_model: LatentDiffusion) -> LatentDiffusion:
    return copy.deepcopy(random_model).double()


def make(model: LatentDiffusion, prompt: Any = "deep kick", **given: Any) -> Audio:
    return generate(model, prompt, **{"steps": 3, "seed": 1, "progress": False} | given)


def assert_alike(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def denoised(model: LatentDiffusion, prompt: Any, **given: Any) -> Tensor:
    """The first x0 of a run, which is linear in the velocities."""
    seen: list[Tensor] = []
    make(model, prompt, callback=lambda step: seen.append(step.latents), **given)
    return seen[0]


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_velocities_of_a_mixture_are_added_by_weight(model: LatentDiffusion, scale: float) -> None:
    kick, bell = (denoised(model, text, guidance_scale=scale) for text in ("deep kick", "bell"))
    for weights in ((0.7, 0.3), (7, 3)):
        mixture = [("deep kick", weights[0]), ("bell", weights[1])]
        assert_alike(denoised(model, mixture, guidance_scale=scale), 0.7 * kick + 0.3 * bell)
    assert (kick - bell).abs().max() > 0.01


def test_negative_prompts_are_added_by_weight(model: LatentDiffusion) -> None:
    drum, bell = (denoised(model, "kick", negative_prompt=text) for text in ("drum", "soft bell"))
    mixed = denoised(model, "kick", negative_prompt=[("drum", 1), ("soft bell", 3)])
    assert_alike(mixed, 0.25 * drum + 0.75 * bell)


def test_items_of_a_batch_have_mixtures_and_negatives_of_their_own(model: LatentDiffusion) -> None:
    prompts: list[Any] = ["kick", [("bell", 0.5), ("drum", 0.5)], "long warm bass"]
    negatives: list[Any] = [[("bell", 1), ("drum", 2)], None, "kick"]
    together = make(model, prompts, negative_prompt=negatives, seed=[3, 8, 5])
    for index in range(3):
        alone = make(
            model,
            [prompts[index]],
            negative_prompt=negatives[index] and [negatives[index]],
            seed=together.seeds[index],
        )
        assert_alike(together.samples[index], alone.samples[0])


def test_a_mixture_of_one_text_is_the_text(model: LatentDiffusion) -> None:
    assert torch.equal(make(model, [("kick", 0.4)]).samples, make(model, "kick").samples)
    twice = make(model, [("kick", 0.4), ("kick", 0.6)])
    assert_alike(twice.samples, make(model, "kick").samples)


def test_items_have_their_own_guidance_and_duration(model: LatentDiffusion) -> None:
    together = make(
        model, ["kick", "bell"], guidance_scale=[1.0, 5.0], duration=[0.25, 0.6], seed=[3, 4]
    )
    assert together.lengths == (4000, 9600)
    assert together.samples.shape == (2, 2, 9600)
    assert together.samples[0, :, 4000:].abs().max() == 0
    for index, (scale, seconds) in enumerate(((1.0, 0.25), (5.0, 0.6))):
        alone = make(
            model, ["kick", "bell"][index], guidance_scale=scale, duration=seconds, seed=3 + index
        )
        assert_alike(together[index].samples, alone.samples)


def test_a_scale_can_follow_the_noise_level(model: LatentDiffusion) -> None:
    """The levels are 500, 12.2 and 0.3."""
    assert torch.equal(
        make(model, guidance_scale=[(500, 4.0), (0.3, 4.0)]).samples,
        make(model, guidance_scale=4.0).samples,
    )
    seen: list[int] = []
    hook = model.transformer.blocks[1].register_forward_pre_hook(
        lambda _, inputs: seen.append(len(inputs[0]))
    )
    found = denoised(model, "kick", guidance_scale=[(100, 1.0), (13, 1.0), (1, 6.0)])
    hook.remove()
    assert seen == [1, 2, 2]
    assert torch.equal(found, denoised(model, "kick", guidance_scale=1.0))


def test_projected_guidance_of_its_defaults_is_plain_guidance(model: LatentDiffusion) -> None:
    plain = make(model, guidance_scale=3.0)
    assert_alike(make(model, guidance_scale=3.0, guidance_norm=1e6).samples, plain.samples)
    for given in ({"guidance_parallel": 0.0}, {"guidance_norm": 0.1}, {"guidance_momentum": -0.5}):
        found = make(model, guidance_scale=3.0, **given)
        assert (found.samples - plain.samples).abs().max() > 1e-3


def test_projected_guidance_adds_nothing_along_the_prediction(model: LatentDiffusion) -> None:
    conditional = denoised(model, "kick", guidance_scale=1.0)
    added = denoised(model, "kick", guidance_scale=3.0, guidance_parallel=0.0) - conditional
    cosine = torch.cosine_similarity(added.flatten(), conditional.flatten(), dim=0)
    assert abs(float(cosine)) < 1e-4
    short = denoised(model, "kick", guidance_scale=2.0, guidance_norm=0.01) - conditional
    assert float(short.square().mean().sqrt()) == pytest.approx(0.01, rel=1e-3)


def test_a_negative_prompt_without_guidance_is_told(
    model: LatentDiffusion, caplog: pytest.LogCaptureFixture
) -> None:
    make(model, negative_prompt="bell", guidance_scale=1.0)
    [message] = caplog.messages
    assert message == ("negative_prompt has no effect at guidance_scale 1; give a scale above 1")
    caplog.clear()
    make(model, negative_prompt="bell", guidance_scale=2.0)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guidance_rescale", 0.5),
        ("guidance_interval", (1.0, 2.0)),
        ("guidance_parallel", 0.5),
        ("guidance_norm", 0.1),
        ("guidance_momentum", 0.5),
    ],
)
def test_options_of_guidance_without_it_are_told(
    model: LatentDiffusion, caplog: pytest.LogCaptureFixture, name: str, value: Any
) -> None:
    make(model, guidance_scale=1.0, **{name: value})
    assert caplog.messages == [f"{name} has no effect at guidance_scale 1; give a scale above 1"]
    caplog.clear()
    make(model, guidance_scale=2.0, **{name: value})
    assert not caplog.messages


@pytest.mark.parametrize(
    ("prompt", "given", "message"),
    [
        ([("kick", 0.0)], {}, "prompt: the weight of 'kick' must be above 0, got 0.0"),
        ([("kick", math.nan)], {}, "prompt: the weight of 'kick' must be above 0, got nan"),
        (["kick", [("bell", 1), "drum"]], {},
         "prompt must be a text or a list of (text, weight), got [('bell', 1), 'drum']"),
        ([("kick", 1), ("", 1)], {}, "prompt is empty; describe the sound in a few words"),
        (["kick", "bell"], {"duration": [0.5]},
         "give one duration or one per item, got 1 for 2 items"),
        (["kick", "bell"], {"guidance_scale": [3.0]},
         "give one guidance_scale or one per item, got 1 for 2 items"),
        ("kick", {"guidance_scale": []},
         "guidance_scale is an empty list; give at least one number"),
        ("kick", {"guidance_scale": [(0.0, 3.0)]},
         "guidance_scale has a point at sigma 0.0; it must be above 0"),
        ("kick", {"guidance_parallel": 2.0}, "guidance parallel must be between 0 and 1, got 2.0"),
        ("kick", {"guidance_norm": 0.0}, "guidance norm must be above 0, got 0.0"),
        ("kick", {"guidance_momentum": 1.0},
         "guidance momentum must lie between -1 and 1, got 1.0"),
        ("kick", {"guidance_momentum": 0.5, "guidance_rescale": 0.5},
         "guidance_rescale 0.5 acts on the velocity and guidance_parallel, guidance_norm and "
         "guidance_momentum on x0; give one of them"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("types_unchecked")
def test_what_makes_no_sense_is_refused_in_one_line(
    model: LatentDiffusion, prompt: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        make(model, prompt, **given)
    assert str(caught.value) == message

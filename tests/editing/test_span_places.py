"""Where spans lie in longer sounds, and in batches of sounds of several lengths."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.inpainting import extend, inpaint
from stable_audio_open.latent_diffusion import LatentDiffusion

RATE = 16000
OPTIONS: dict[str, Any] = {"steps": 3, "progress": False, "seed": 1}


def rain(seconds: float, *, items: int = 1) -> Audio:
    generator = torch.Generator().manual_seed(0)
    return Audio(0.1 * torch.randn(items, 2, round(seconds * RATE), generator=generator), RATE)


@pytest.fixture
def told(
    random_model: LatentDiffusion, random_flow: LatentDiffusion
) -> Iterator[list[dict[str, list[float]]]]:
    """The numbers that a conditioner is given, of each call."""
    seen: list[dict[str, list[float]]] = []

    def see(_: object, inputs: Any) -> None:
        seen.append({name: values.tolist() for name, values in inputs[0].numbers.items()})

    hooks = [
        model.conditioner.register_forward_pre_hook(see) for model in (random_model, random_flow)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def test_a_long_sound_tells_where_its_window_is(
    random_model: LatentDiffusion, told: list[dict[str, list[float]]]
) -> None:
    inpaint(random_model, rain(3.0), "deep kick", spans=[(2.0, 2.1)], **OPTIONS)
    [start], [total] = told[0]["seconds_start"], told[0]["seconds_total"]
    assert (start, total) == (pytest.approx(1.55, abs=0.002), 3.0)
    extend(random_model, rain(3.0), "deep kick", seconds=0.2, **OPTIONS)
    assert told[-1]["seconds_start"] == [pytest.approx(2.2, abs=0.002)]
    assert told[-1]["seconds_total"] == [pytest.approx(3.2)]


def test_beyond_the_range_of_a_model_it_is_told_as_of_long_sounds(
    random_model: LatentDiffusion,
    told: list[dict[str, list[float]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("seconds_start", "seconds_total"):
        monkeypatch.setattr(random_model.conditioner.numbers[name], "maximum", 2.0)
    sound = rain(5.0)
    for spans, start in (([(0.1, 0.2)], 0.0), ([(2.5, 2.6)], 0.5), ([(4.8, 4.9)], 1.0)):
        inpaint(random_model, sound, "deep kick", spans=spans, **OPTIONS)
        assert told[-1]["seconds_start"] == [pytest.approx(start, abs=0.002)]
        assert told[-1]["seconds_total"] == [2.0]


def test_without_seconds_start_the_window_is_all_there_is(
    random_flow: LatentDiffusion, told: list[dict[str, list[float]]]
) -> None:
    inpaint(random_flow, rain(3.0), "kick", spans=[(2.0, 2.1)], conditions={"bpm": 120}, **OPTIONS)
    assert told[-1]["seconds_total"] == [1.0]
    inpaint(random_flow, rain(0.5), "kick", spans=[(0.1, 0.2)], conditions={"bpm": 120}, **OPTIONS)
    assert told[-1]["seconds_total"] == [0.5]


@pytest.mark.slow
@pytest.mark.parametrize("edges", ["mirrored", "muted", "generated", "released"])
@pytest.mark.parametrize("lengths", [(12800, 11000), (40000, 24000), (40000, 9000)])
def test_an_item_does_not_depend_on_the_lengths_of_the_others(
    random_model: LatentDiffusion, lengths: tuple[int, int], edges: str
) -> None:
    sounds = replace(rain(max(lengths) / RATE, items=2), lengths=lengths)
    asked: dict[str, Any] = {**OPTIONS, "spans": [(0.4, 0.5)], "edges": edges}
    both = inpaint(random_model, sounds, "deep kick", **asked | {"seed": [4, 9]})
    assert both.lengths == lengths
    for index, seed in enumerate((4, 9)):
        alone = inpaint(random_model, sounds[index], "deep kick", **asked | {"seed": seed})
        torch.testing.assert_close(both[index].samples, alone.samples, atol=1e-4, rtol=1e-4)


def test_a_loud_item_leaves_the_ceiling_of_the_others(random_model: LatentDiffusion) -> None:
    """What is new is turned down below the loudest that its own sound keeps."""
    sounds = rain(0.8, items=2)
    sounds.samples[1, :, 100] = 9.0
    asked: dict[str, Any] = {**OPTIONS, "spans": [(0.4, 0.7)], "sampler": "euler"}
    asked |= {"guidance_scale": 60.0}
    both = inpaint(random_model, sounds, "deep kick", **asked)
    assert float(both.samples[0].abs().max()) <= 1 + 1e-6
    alone = inpaint(random_model, sounds[0], "deep kick", **asked)
    torch.testing.assert_close(both[0].samples, alone.samples, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("samples", [1, 12800, 16001, 40003, 48000])
def test_all_of_a_window_but_a_frame_is_added(
    random_model: LatentDiffusion, samples: int, before: bool
) -> None:
    sound, added = rain(samples / RATE), 16000 - 32
    longer = extend(
        random_model, sound, "deep kick", seconds=added / RATE, before=before, **OPTIONS
    )
    first = added if before else 0
    assert longer.samples.shape[-1] == samples + added
    assert torch.equal(longer.samples[..., first : first + samples], sound.samples)

"""Spans are generated anew and sounds are continued, on models of every kind."""

import importlib.util
import logging
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.samplers import sampler_names
from stable_audio_open.editing.inpainting import extend, inpaint
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.sampling import Step, StoppedError

RATE = 16000
SPANS = [(0.2, 0.3), (0.55, 0.6)]
OPTIONS = {"steps": 3, "progress": False}
K_DIFFUSION = importlib.util.find_spec("k_diffusion") is not None


def rain(seed: int = 0, *, seconds: float = 0.8, items: int = 1, rate: int = RATE) -> Audio:
    generator = torch.Generator().manual_seed(seed)
    return Audio(0.1 * torch.randn(items, 2, round(seconds * rate), generator=generator), rate)


def inside(spans: list[tuple[float, float]], samples: int) -> Tensor:
    mask = torch.zeros(samples, dtype=torch.bool)
    for start, end in spans:
        mask[round(start * RATE) : round(end * RATE)] = True
    return mask


@pytest.mark.parametrize("edges", ["mirrored", "muted", "generated", "released"])
def test_outside_of_the_spans_it_is_the_same_sound(
    random_model: LatentDiffusion, edges: str
) -> None:
    sound = rain()
    made = inpaint(random_model, sound, "deep kick", spans=SPANS, seed=1, edges=edges, **OPTIONS)
    changed = (made.samples != sound.samples).any(dim=1)[0]
    assert torch.equal(changed, inside(SPANS, 12800))
    assert (made.sample_rate, made.seeds, made.lengths) == (RATE, (1,), (12800,))


@pytest.mark.parametrize("edges", ["mirrored", "muted", "generated", "released"])
def test_what_is_removed_has_no_trace(random_model: LatentDiffusion, edges: str) -> None:
    """A click in the span, at its very edge, changes not one bit of the result."""
    sound, clicked = rain(), rain()
    clicked.samples[..., inside(SPANS, 12800)] = 0.9
    first, second = (
        inpaint(random_model, one, "deep kick", spans=SPANS, seed=1, edges=edges, **OPTIONS)
        for one in (sound, clicked)
    )
    assert torch.equal(first.samples, second.samples)


def test_what_is_kept_counts(random_model: LatentDiffusion) -> None:
    first, second = (
        inpaint(random_model, rain(seed), "deep kick", spans=SPANS, seed=1, **OPTIONS)
        for seed in (0, 1)
    )
    assert not torch.equal(
        first.samples[..., inside(SPANS, 12800)], second.samples[..., inside(SPANS, 12800)]
    )


@pytest.mark.parametrize(
    "sampler", [*sampler_names(), *(["k-diffusion:dpmpp_2m_sde"] if K_DIFFUSION else [])]
)
def test_every_sampler_inpaints(random_model: LatentDiffusion, sampler: str) -> None:
    sound = rain()
    made = inpaint(
        random_model, sound, "deep kick", spans=SPANS, seed=1, sampler=sampler, **OPTIONS
    )
    kept = ~inside(SPANS, 12800)
    assert torch.equal(made.samples[..., kept], sound.samples[..., kept])
    assert made.samples.isfinite().all()
    assert float(made.samples.abs().max()) <= 1 + 1e-6


@pytest.mark.parametrize("objective", ["rectified_flow", "rf_denoiser"])
@pytest.mark.parametrize("resampling", [1, 2])
def test_flows_inpaint_and_continue(
    random_model: LatentDiffusion,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    resampling: int,
) -> None:
    monkeypatch.setattr(random_model, "objective", objective)
    sound, kept = rain(), ~inside(SPANS, 12800)
    more = {"seed": 1, "resampling": resampling, **OPTIONS}
    made = inpaint(random_model, sound, "deep kick", spans=SPANS, **more)
    assert torch.equal(made.samples[..., kept], sound.samples[..., kept])
    assert (made.samples != sound.samples)[..., ~kept].any(dim=1).all()
    longer = extend(random_model, sound, "deep kick", seconds=0.1, **more)
    assert torch.equal(longer.samples[..., :12800], sound.samples)


def test_other_numbers_are_asked_for(random_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match='conditions give "bpm", on which the model is not'):
        inpaint(random_model, rain(), "deep kick", spans=SPANS, conditions={"bpm": 90}, **OPTIONS)


def test_an_item_of_a_batch_is_the_sound_that_it_is_alone(random_model: LatentDiffusion) -> None:
    sounds, prompts = rain(items=2), ["deep kick", "soft bell"]
    both = inpaint(random_model, sounds, prompts, spans=SPANS, seed=[4, 9], **OPTIONS)
    for index, (prompt, seed) in enumerate(zip(prompts, (4, 9), strict=True)):
        alone = inpaint(random_model, sounds[index], prompt, spans=SPANS, seed=seed, **OPTIONS)
        torch.testing.assert_close(both[index].samples, alone.samples, atol=1e-4, rtol=1e-4)


def test_one_sound_for_many_prompts_and_one_prompt_for_many_sounds(
    random_model: LatentDiffusion,
) -> None:
    made = inpaint(random_model, rain(), ["deep kick", "soft bell"], spans=SPANS, seed=3, **OPTIONS)
    assert (len(made), made.seeds) == (2, (3, 4))
    assert not torch.equal(made.samples[0], made.samples[1])
    made = inpaint(random_model, rain(items=3), "deep kick", spans=SPANS, seed=3, **OPTIONS)
    assert (len(made), made.seeds) == (3, (3, 4, 5))


def test_items_keep_their_lengths(random_model: LatentDiffusion) -> None:
    sounds = replace(rain(items=2), lengths=(12800, 11000))
    made = inpaint(random_model, sounds, "deep kick", spans=SPANS, seed=3, **OPTIONS)
    assert made.lengths == (12800, 11000)
    with pytest.raises(ValueError, match=r"ends behind the sound, which is 0\.687 s long"):
        inpaint(random_model, sounds, "deep kick", spans=[(0.2, 0.7)], **OPTIONS)


def test_another_rate_is_brought_to_the_models(random_model: LatentDiffusion) -> None:
    made = inpaint(
        random_model, rain(rate=8000), "deep kick", spans=[(0.2, 0.3)], seed=3, **OPTIONS
    )
    assert (made.sample_rate, made.samples.shape[-1]) == (RATE, 12800)


def test_sounds_come_in_every_form(random_model: LatentDiffusion, tmp_path: Path) -> None:
    sound = rain()
    path = tmp_path / "rain.wav"
    sound.save(path, subtype="float")
    array = (RATE, np.ascontiguousarray(sound.samples[0].numpy().T))
    for form in (sound, path, str(path), (sound.samples, RATE), array):
        made = inpaint(random_model, form, "deep kick", spans=SPANS, seed=3, **OPTIONS)
        assert torch.equal(made.samples[..., :3000], sound.samples[..., :3000])


def test_a_long_sound_is_edited_in_a_window_around_the_spans(
    random_model: LatentDiffusion, caplog: pytest.LogCaptureFixture
) -> None:
    sound, spans = rain(seconds=3.0), [(1.9, 2.0), (2.2, 2.3)]
    with caplog.at_level(logging.WARNING):
        made = inpaint(random_model, sound, "deep kick", spans=spans, seed=1, **OPTIONS)
    assert not caplog.records
    changed = (made.samples != sound.samples).any(dim=1)[0]
    assert torch.equal(changed, inside(spans, 48000))
    with pytest.raises(ValueError, match="edit them in several calls"):
        inpaint(random_model, sound, "deep kick", spans=[(0.1, 0.2), (2.2, 2.3)], **OPTIONS)


def test_the_timing_is_that_of_the_whole(
    random_model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, float]] = []
    prepare = random_model.conditioner.prepare

    def watched(conditions: list[dict[str, float]]) -> object:
        told.extend(conditions)
        return prepare(conditions)

    monkeypatch.setattr(random_model.conditioner, "prepare", watched)
    inpaint(random_model, rain(seconds=3.0), "deep kick", spans=[(2.0, 2.1)], **OPTIONS)
    assert told[-1]["seconds_total"] == 3.0
    assert told[-1]["seconds_start"] == pytest.approx(1.55, abs=0.002)
    extend(random_model, rain(), "deep kick", seconds=0.1, **OPTIONS)
    assert (told[-1]["seconds_start"], told[-1]["seconds_total"]) == (0.0, pytest.approx(0.9))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("seconds", [0.8, 3.0])
def test_a_sound_is_continued(random_model: LatentDiffusion, before: bool, seconds: float) -> None:
    sound = rain(seconds=seconds)
    made = extend(random_model, sound, "deep kick", seconds=0.15, before=before, seed=1, **OPTIONS)
    length = round(seconds * RATE)
    assert made.samples.shape == (1, 2, length + 2400)
    first = 2400 if before else 0
    assert torch.equal(made.samples[..., first : first + length], sound.samples)
    new = made.samples[..., :2400] if before else made.samples[..., length:]
    assert new.any(dim=1).all()
    assert made.fade == (0 if before else 0.005)


def test_resampling_takes_its_steps_and_another_result(random_model: LatentDiffusion) -> None:
    steps: list[tuple[int, int]] = []
    once = inpaint(random_model, rain(), "deep kick", spans=SPANS, seed=1, resampling=1, **OPTIONS)
    twice = inpaint(
        random_model,
        rain(),
        "deep kick",
        spans=SPANS,
        seed=1,
        resampling=2,
        callback=lambda step: steps.append((step.number, step.steps)),
        **OPTIONS,
    )
    assert steps == [(number, 6) for number in range(6)]
    assert not torch.equal(once.samples, twice.samples)


def test_a_callback_stops_it(random_model: LatentDiffusion) -> None:
    def stop(step: Step) -> bool:
        assert step.preview().samples.shape == (1, 2, RATE)
        return False

    with pytest.raises(StoppedError, match="after step 1 of 6"):
        inpaint(random_model, rain(), "deep kick", spans=SPANS, callback=stop, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"spans": []}, "spans is empty"),
        (
            {"edges": "soft"},
            "edges must be one of mirrored, muted, generated, released, got 'soft'",
        ),
        ({"crossfade": -0.1}, "crossfade must be at least 0 seconds, got -0.1"),
        ({"crossfade": math.nan}, "crossfade must be at least 0 seconds, got nan"),
        ({"resampling": 0}, "resampling must be at least 1, got 0"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": ["a", "b", "c"]}, "got 2 sounds for 3 items; give one, or one per item"),
        ({"negative_prompt": ["a", "b", "c"]}, "got 3 negative prompts for 2 items"),
        ({"seed": [1, 2, 3]}, "give one seed or one per item, got 3 for 2 items"),
        ({"sampler": "hune"}, 'did you mean "heun"'),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_mistakes_are_told(
    random_model: LatentDiffusion, change: dict[str, object], fault: str, types_unchecked: None
) -> None:
    request = {"audio": rain(items=2), "prompt": "deep kick", "spans": SPANS, **OPTIONS, **change}
    with pytest.raises(ValueError, match=re.escape(fault)):
        inpaint(random_model, **request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "lengths", "fault"),
    [
        (0.0, (12800,), "seconds must be above 0 and below the model's window of 1.00 s"),
        (1.0, (12800,), "some of the sound has its place too, got 1; give at most 0.998"),
        (0.9985, (12800,), "its place too, got 0.9985; give at most 0.998"),
        (math.nan, (12800,), "got nan"),
        (0.1, (12800, 8000), "the items of a batch are 0.800, 0.500 s long; extend takes items"),
    ],
)
def test_mistakes_of_a_continuation_are_told(
    random_model: LatentDiffusion, seconds: float, lengths: tuple[int, ...], fault: str
) -> None:
    sounds = replace(rain(items=len(lengths)), lengths=lengths)
    with pytest.raises(ValueError, match=re.escape(fault)):
        extend(random_model, sounds, "deep kick", seconds=seconds, **OPTIONS)

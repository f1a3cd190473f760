"""Sounds longer than the window, with a small random model."""

import copy
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.samplers import get_sampler, initial_noise, sampler_names
from stable_audio_open.editing.generate import generate
from stable_audio_open.editing.long import generate_long
from stable_audio_open.editing.places import seconds_in_range
from stable_audio_open.generate import generate as story
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.sampling import Step, StoppedError

pytestmark = pytest.mark.numerical

RATE, HOP, FRAMES = 16000, 32, 500


@pytest.fixture
def model(random_model: LatentDiffusion) -> LatentDiffusion:
    return random_model


def make(model: LatentDiffusion, prompt: Any = "deep kick", **given: Any) -> Audio:
    return generate(model, prompt, **{"steps": 3, "seed": 1, "progress": False} | given)


def assert_alike(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, which the steps enlarge."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.fixture
def told(model: LatentDiffusion) -> Any:
    """What the conditioner is told: seconds_start and seconds_total of the items of each call."""
    seen: list[tuple[list[float], list[float]]] = []
    hook = model.conditioner.register_forward_pre_hook(
        lambda _, inputs: seen.append(
            (
                inputs[0].numbers["seconds_start"].tolist(),
                inputs[0].numbers["seconds_total"].tolist(),
            )
        )
    )
    yield seen
    hook.remove()


@pytest.mark.parametrize("duration", [1.001, 1.7, 2.50003, 4])
def test_a_sound_may_be_longer_than_the_window(model: LatentDiffusion, duration: float) -> None:
    audio = make(model, duration=duration)
    assert audio.samples.shape == (1, 2, round(duration * RATE))
    assert audio.seeds == (1,)
    whole = make(model, duration=duration, trim=False)
    assert whole.samples.shape == (1, 2, math.ceil(round(duration * RATE) / HOP) * HOP)
    assert_alike(audio.samples, whole.samples[..., : audio.samples.shape[-1]])


def test_a_length_can_be_given_in_samples(model: LatentDiffusion) -> None:
    assert make(model, samples=12345).samples.shape[-1] == 12345
    audio = make(model, samples=33333)
    assert torch.equal(audio.samples, make(model, duration=33333 / RATE).samples)
    assert audio.samples.shape[-1] == 33333


def test_within_the_window_it_is_the_plain_story(model: LatentDiffusion) -> None:
    for settings in ({}, {"duration": 0.4}, {"duration": 1.0, "trim": False},
                     {"duration": 0.3, "window": 0.5, "init_audio": SOUND}):  # fmt: skip
        plain = story(model, "deep kick", steps=3, seed=1, progress=False, **settings)  # type: ignore[arg-type]
        assert torch.equal(make(model, **settings).samples, plain.samples)


def test_one_window_is_the_plain_story(model: LatentDiffusion) -> None:
    """The denoiser of windows equals a plain one where there is but one."""
    settings: dict[str, Any] = {"steps": 3, "seed": 1, "progress": False, "duration": 0.6}
    found = generate_long(model, "deep kick", **settings)
    assert_alike(found.samples, story(model, "deep kick", **settings).samples)


def test_each_window_is_told_its_place(
    model: LatentDiffusion, told: list[tuple[list[float], list[float]]]
) -> None:
    """1 s windows that overlap by a quarter, in a sound of 3.1 s: evenly from 0 to 2.1 s."""
    make(model, ["kick", "bell"], duration=3.1, seconds_start=4.0)
    starts = [4.0, 4.7, 5.4, 6.1]
    assert [start for start, _ in told] == [pytest.approx([s, s]) for s in starts]
    assert [total for _, total in told] == [pytest.approx([7.1, 7.1])] * 4


def test_a_shorter_window_makes_more_of_them(
    model: LatentDiffusion, told: list[tuple[list[float], list[float]]]
) -> None:
    audio = make(model, duration=0.9, window=0.4)
    assert [start for start, _ in told] == [pytest.approx([s], abs=2e-3) for s in (0, 0.25, 0.5)]
    assert audio.samples.shape[-1] == 14400


def test_the_noise_is_that_of_the_whole(model: LatentDiffusion) -> None:
    x = initial_noise((8, 1250), [1]) * 500
    inside: list[Tensor] = []
    original = model.transformer.predict

    def predict(x: Tensor, *rest: Any) -> Tensor:
        inside.append(x)
        return original(x, *rest)

    model.transformer.predict = predict  # type: ignore[method-assign]
    try:
        make(model, duration=2.5, steps=1, guidance_scale=1.0)
    finally:
        del model.transformer.predict
    # c_in is 1 / sqrt(sigma^2 + 1).
    for start, part in zip((0, 375, 750), inside, strict=True):
        torch.testing.assert_close(part, x[..., start : start + FRAMES] / math.hypot(500, 1))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", sampler_names())
@pytest.mark.parametrize("loop", [False, True])
def test_an_item_of_a_batch_equals_the_same_request_alone(
    random_model: LatentDiffusion, sampler: str, loop: bool
) -> None:
    model = copy.deepcopy(random_model).double()
    prompts: list[Any] = ["deep kick", [(0, "bell"), (0.2, "soft bass"), (0.4, "drum")]]
    settings: dict[str, Any] = {"duration": 0.6, "window": 0.25, "sampler": sampler, "loop": loop}
    together = make(model, prompts, seed=[3, 11], negative_prompt="long", **settings)
    for index, (prompt, seed) in enumerate(zip(prompts, together.seeds, strict=True)):
        alone = make(model, prompt, seed=seed, negative_prompt="long", **settings)
        assert_alike(together.samples[index : index + 1], alone.samples)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("name", ["heun", "dpm_2_ancestral", "dpmpp_2m", "lms", "dpm_fast"])
def test_samplers_of_k_diffusion(model: LatentDiffusion, name: str, loop: bool) -> None:
    pytest.importorskip("k_diffusion")
    get_sampler(f"k-diffusion:{name}")
    audio = make(model, duration=1.5, window=0.5, sampler=f"k-diffusion:{name}", loop=loop)
    assert audio.samples.shape == (1, 2, 24000)
    assert audio.samples.isfinite().all()
    assert audio.samples.std() > 0


def test_the_sampler_of_k_diffusion_gives_what_ours_gives(model: LatentDiffusion) -> None:
    pytest.importorskip("k_diffusion")
    for loop in (False, True):
        settings: dict[str, Any] = {"duration": 1.5, "window": 0.5, "loop": loop, "steps": 5}
        theirs = make(model, sampler="k-diffusion:dpmpp_2m", **settings)
        ours = make(model, sampler="dpmpp-2m", **settings)
        assert_alike(theirs.samples, ours.samples)


def test_prompts_change_along_the_way(model: LatentDiffusion) -> None:
    """Where the other prompt does not count, the first steps are as if it were not there."""
    first, second = "deep kick", "soft warm bell"
    settings: dict[str, Any] = {"duration": 3.0, "window": 0.4, "steps": 1}
    mixed = latents_of(model, [(0, first), (1.5, second)], **settings)
    kick, bell = (latents_of(model, prompt, **settings) for prompt in (first, second))
    # A quarter of 0.4 s, 25 frames to each side, around frame 750.
    assert_alike(mixed[..., :725], kick[..., :725])
    assert_alike(mixed[..., 775:], bell[..., 775:])
    assert (kick - bell).abs().max() > 0.1
    middle = mixed[..., 749:751]
    expected = (kick[..., 749:751] + bell[..., 749:751]) / 2
    assert (middle - expected).abs().max() < 0.05 * (kick - bell).abs().max()


def latents_of(model: LatentDiffusion, prompt: Any, **given: Any) -> Tensor:
    seen: list[Tensor] = []
    make(model, prompt, callback=lambda step: seen.append(step.latents), **given)
    return seen[-1]


def test_texts_with_weights_are_long_too(model: LatentDiffusion) -> None:
    settings: dict[str, Any] = {"duration": 0.9, "window": 0.4, "steps": 1}
    mixed = latents_of(model, [("kick", 3), ("bell", 1)], **settings, guidance_scale=1.0)
    kick, bell = (latents_of(model, p, **settings, guidance_scale=1.0) for p in ("kick", "bell"))
    assert_alike(mixed, 0.75 * kick + 0.25 * bell)
    several = make(model, [[("kick", 3), ("bell", 1)], "kick"], **settings, guidance_norm=2.0)
    assert several.samples.shape[0] == 2
    assert make(model, ["kick", "bell"], duration=[1.5, 1.5], steps=1).samples.shape[-1] == 24000
    alone = make(model, ["kick", "bell"], duration=[0.5, 0.8], steps=1)
    assert alone.lengths == (8000, 12800)


def test_prompts_change_within_one_window(model: LatentDiffusion) -> None:
    timeline = [(0, "deep kick"), (0.4, "soft bell")]
    audio = make(model, timeline, duration=0.8)
    assert audio.samples.shape[-1] == 12800
    plain = make(model, "deep kick", duration=0.8)
    assert (audio.samples - plain.samples).abs().max() > 0.01
    assert make(model, timeline).samples.shape[-1] == RATE


SOUND = Audio(0.1 * initial_noise((2, 40000), [9]), RATE)


def test_a_long_sound_can_be_varied(model: LatentDiffusion) -> None:
    found = make(model, duration=2.5, init_audio=SOUND, init_strength=0)
    torch.testing.assert_close(found.samples, model.autoencoder.reconstruct(SOUND.samples))
    plain = make(model, duration=2.5)
    varied = make(model, duration=2.5, init_audio=SOUND, init_strength=1)
    assert torch.equal(plain.samples, varied.samples)
    varied = make(model, duration=2.5, init_audio=SOUND, init_noise_level=0.5)
    distances = [float((audio.samples - found.samples).abs().mean()) for audio in (varied, plain)]
    assert 0 < distances[0] < distances[1]


def test_progress_and_callbacks_go_by_steps(
    model: LatentDiffusion, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[Step] = []
    audio = make(model, duration=1.5, progress=True, callback=steps.append)
    assert [(step.number, step.steps) for step in steps] == [(0, 3), (1, 3), (2, 3)]
    assert "3/3" in capsys.readouterr().err
    assert_alike(steps[-1].preview().samples[..., :24000], audio.samples)
    with pytest.raises(StoppedError, match="stopped by the callback after step 1 of 3"):
        make(model, duration=1.5, callback=lambda _: False)


def test_the_same_request_twice_is_bitwise_equal(model: LatentDiffusion) -> None:
    first, second = (make(model, duration=1.5, sampler="dpmpp-3m-sde") for _ in range(2))
    assert torch.equal(first.samples, second.samples)
    assert not torch.equal(first.samples, make(model, duration=1.5, seed=2).samples)


def test_the_model_sees_one_window_at_a_time(model: LatentDiffusion) -> None:
    shapes: set[tuple[int, ...]] = set()
    hook = model.transformer.blocks[1].register_forward_pre_hook(
        lambda _, inputs: shapes.add(tuple(inputs[0].shape))
    )
    make(model, ["kick", "bell"], duration=5.0)
    hook.remove()
    # Two items, each with and without its prompt; a window, and the token of timing and timestep.
    assert shapes == {(4, FRAMES + 1, 32)}


@pytest.mark.parametrize(
    ("start", "total", "expected"),
    [
        (0.0, 300.0, (0.0, 300.0)),
        (250.0, 300.0, (250.0, 300.0)),
        (100.0, 1000.0, (100.0, 512.0)),
        (300.0, 1000.0, (232.0, 512.0)),
        (700.0, 1000.0, (232.0, 512.0)),
        (800.0, 1000.0, (312.0, 512.0)),
        (952.0, 1000.0, (464.0, 512.0)),
    ],
)
def test_a_sound_longer_than_the_models_numbers_keeps_both_its_ends(
    start: float, total: float, expected: tuple[float, float]
) -> None:
    assert seconds_in_range(start, total, window=48.0, most=512.0) == expected


def test_the_models_own_range_counts(
    random_model: LatentDiffusion,
) -> None:
    model = copy.deepcopy(random_model)
    for number in model.conditioner.numbers.values():
        number.maximum = 3.0
    seen: list[tuple[float, float]] = []
    model.conditioner.register_forward_pre_hook(
        lambda _, inputs: seen.append(
            (inputs[0].numbers["seconds_start"].item(), inputs[0].numbers["seconds_total"].item())
        )
    )
    make(model, duration=4.0, steps=1)
    assert [start for start, _ in seen] == pytest.approx([0, 0.75, 1, 1.25, 2])
    assert {total for _, total in seen} == {3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"duration": 3600.5}, "duration must be above 0 and at most 3600 seconds, got 3600.5"),
        ({"duration": math.inf}, "duration must be above 0 and at most 3600 seconds, got inf"),
        (
            {"duration": math.nan},
            "duration must be above 0 and at most 3600 seconds, got nan",
        ),
        (
            {"duration": 2.0, "window": 1.5},
            "window must be above 0 and at most the model's 1.00 seconds, got 1.5",
        ),
        (
            {"duration": 2.0, "samples": 8},
            "duration 2 and samples 8 are two lengths of one sound; give one of them",
        ),
        (
            {"prompt": ["a", "b"], "duration": [0.5, 2]},
            "sounds that are longer than the window, or change their prompt, of a batch last "
            "equally long, got durations [0.5, 2]; make them one by one",
        ),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"bars": 4}, "bars 4 needs bpm too: both make the length of a loop"),
        ({"bpm": 90}, "bpm 90 needs bars too: both make the length of a loop"),
        ({"bars": 4, "bpm": 90}, "bars 4 is the length of a loop; ask for one (loop)"),
        ({"duration": 2.0, "seconds_start": -1.0}, "seconds_start must be at least 0, got -1.0"),
        ({"duration": 2.0, "prompt": []}, "prompt is an empty list; give at least one text"),
        (
            {"duration": 2.0, "prompt": [(0, "a"), (2.5, "b")]},
            "a prompt begins at 2.5 seconds, and the sound ends at 2; give an earlier time or a "
            "longer duration",
        ),
    ],
)
def test_mistakes_are_told(model: LatentDiffusion, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(model, **given)


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"duration": "2"}, "duration must be a number, got '2' (str)"),
        ({"samples": 2.5}, "samples must be an integer, got 2.5 (float)"),
        ({"samples": True}, "samples must be an integer, got True (bool)"),
        ({"bars": "4", "bpm": 90}, "bars must be a number, got '4' (str)"),
        ({"bars": 4, "bpm": [90]}, "bpm must be a number, got [90] (list)"),
    ],
)
def test_wrong_types_are_told(model: LatentDiffusion, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        make(model, loop=True, **given)

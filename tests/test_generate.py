"""From a prompt to audio, with a small random model."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_audio_open import sampling
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.resample import resample
from stable_audio_open.diffusion.samplers import initial_noise, sampler_names
from stable_audio_open.diffusion.schedule import polyexponential
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.sampling import Step, StoppedError

pytestmark = pytest.mark.numerical

RATE, WINDOW, HOP, FRAMES = 16000, 16000, 32, 500


@pytest.fixture
def model(random_model: LatentDiffusion) -> LatentDiffusion:
    return random_model


def make(model: LatentDiffusion, prompt: str | Sequence[str] = "deep kick", **given: Any) -> Audio:
    return generate(model, prompt, **{"steps": 3, "seed": 1, "progress": False} | given)


def assert_alike(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, which the steps enlarge."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, list[float]]]:
    """Fill with what each generation gives to its sampler: latents and noise levels."""
    started: list[tuple[Tensor, list[float]]] = []

    def stay(_: Any, x: Tensor, sigmas: list[float], **__: Any) -> Tensor:
        started.append((x, sigmas))
        return x / sigmas[0]

    monkeypatch.setattr(sampling, "get_sampler", lambda name: stay)
    return started


def test_the_whole_window_in_the_models_rate_and_channels(model: LatentDiffusion) -> None:
    audio = make(model)
    assert audio.samples.shape == (1, 2, WINDOW)
    assert audio.samples.dtype == torch.float32
    assert audio.sample_rate == RATE
    assert audio.seeds == (1,)
    assert audio.samples.std() > 0


@pytest.mark.parametrize("duration", [0.3, 0.3001, 1 / RATE, 1])
def test_sound_is_cut_at_its_duration(model: LatentDiffusion, duration: float) -> None:
    cut, whole = make(model, duration=duration), make(model, duration=duration, trim=False)
    assert cut.samples.shape == (1, 2, round(duration * RATE))
    assert whole.samples.shape == (1, 2, WINDOW)
    assert_alike(cut.samples, whole.samples[..., : cut.samples.shape[-1]])


def test_a_shorter_window_is_less_work(model: LatentDiffusion) -> None:
    tokens: list[int] = []
    hook = model.transformer.blocks[1].register_forward_pre_hook(
        lambda _, inputs: tokens.append(inputs[0].shape[1])
    )
    audio = make(model, window=0.5)
    hook.remove()
    assert set(tokens) == {251}  # half the frames, and the token of timing and timestep
    assert audio.samples.shape == (1, 2, WINDOW // 2)
    assert make(model, window=0.5, duration=0.2).samples.shape == (1, 2, 3200)
    assert make(model, window=0.5, duration=0.2, trim=False).samples.shape == (1, 2, 8000)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", sampler_names())
def test_an_item_of_a_batch_equals_the_same_request_alone(
    random_model: LatentDiffusion, sampler: str
) -> None:
    """In float64: a batch is added up in another order, which the steps of Heun enlarge a lot."""
    model = copy.deepcopy(random_model).double()
    prompts = ["deep kick", "long warm bass with bell", "bell"]
    settings: dict[str, Any] = {"sampler": sampler, "guidance_scale": 3.0}
    together = make(model, prompts, negative_prompt="drum", seed=[3, 11, 4], **settings)
    assert together.seeds == (3, 11, 4)
    for index, (prompt, seed) in enumerate(zip(prompts, together.seeds, strict=True)):
        alone = make(model, prompt, negative_prompt=["drum"], seed=seed, **settings)
        assert_alike(together.samples[index : index + 1], alone.samples)


@pytest.mark.parametrize("sampler", sampler_names())
@pytest.mark.parametrize("schedule", ["polyexponential", "karras"])
def test_the_same_request_twice_is_bitwise_equal(
    model: LatentDiffusion, sampler: str, schedule: str
) -> None:
    first, second = (make(model, sampler=sampler, schedule=schedule) for _ in range(2))
    assert torch.equal(first.samples, second.samples)
    assert not torch.equal(first.samples, make(model, sampler=sampler, seed=2).samples)


def test_seeds_count_up_from_the_first(model: LatentDiffusion) -> None:
    assert make(model, ["kick"] * 3, seed=7).seeds == (7, 8, 9)
    assert make(model, ["kick"] * 2, seed=2**32 - 1).seeds == (2**32 - 1, 0)


def test_without_a_seed_each_request_is_new_and_torch_stays_as_it_was(
    model: LatentDiffusion,
) -> None:
    state = torch.get_rng_state()
    first, second = make(model, seed=None), make(model, seed=None)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.seed != second.seed
    assert torch.equal(make(model, seed=first.seed).samples, first.samples)


def test_guidance_away_from_the_prompt_itself_is_no_guidance(model: LatentDiffusion) -> None:
    plain = make(model, guidance_scale=1.0)
    assert_alike(
        make(model, guidance_scale=7.0, negative_prompt="deep kick").samples, plain.samples
    )
    assert (make(model, guidance_scale=7.0).samples - plain.samples).abs().max() > 0.01


def test_a_negative_prompt_changes_the_sound(model: LatentDiffusion) -> None:
    plain, negative = make(model), make(model, negative_prompt="soft bell")
    assert (plain.samples - negative.samples).abs().max() > 0.01
    assert torch.equal(make(model, guidance_scale=1.0, negative_prompt="soft bell").samples,
                       make(model, guidance_scale=1.0).samples)  # fmt: skip


def items_per_step(model: LatentDiffusion, **given: Any) -> list[int]:
    """How many items the transformer is given at each evaluation, for two prompts."""
    items: list[int] = []
    hook = model.transformer.blocks[1].register_forward_pre_hook(
        lambda _, inputs: items.append(len(inputs[0]))
    )
    make(model, ["kick", "bell"], **given)
    hook.remove()
    return items


def test_the_null_half_is_evaluated_only_where_it_counts(model: LatentDiffusion) -> None:
    assert items_per_step(model, guidance_scale=7.0) == [4, 4, 4]
    assert items_per_step(model, guidance_scale=0.0) == [4, 4, 4]
    assert items_per_step(model, guidance_scale=1.0) == [2, 2, 2]
    # The noise levels are 500, 12.2 and 0.3.
    assert items_per_step(model, guidance_interval=(1.0, 100.0)) == [2, 4, 2]


@pytest.mark.parametrize("interval", [(0.0, math.inf), (0.2, 600.0)])
def test_an_interval_of_all_noise_levels_is_plain_guidance(
    model: LatentDiffusion, interval: tuple[float, float]
) -> None:
    found = make(model, guidance_interval=interval)
    assert torch.equal(found.samples, make(model).samples)
    assert not torch.equal(found.samples, make(model, guidance_scale=1.0).samples)


@pytest.mark.parametrize("interval", [(0.0, 0.2), (1.0, 10.0), (501.0, math.inf)])
def test_outside_of_the_interval_the_conditional_half_decides(
    model: LatentDiffusion, interval: tuple[float, float]
) -> None:
    """The noise levels are 500, 12.2 and 0.3."""
    found = make(model, guidance_interval=interval, negative_prompt="soft bell")
    assert torch.equal(found.samples, make(model, guidance_scale=1.0).samples)


def test_guidance_rescale_changes_the_sound(model: LatentDiffusion) -> None:
    plain, rescaled = make(model), make(model, guidance_rescale=0.7)
    assert (plain.samples - rescaled.samples).abs().max() > 0.01


def test_timing_is_told_to_the_model(model: LatentDiffusion) -> None:
    told: list[dict[str, Tensor]] = []
    hook = model.conditioner.register_forward_pre_hook(
        lambda _, inputs: told.append(inputs[0].numbers)
    )
    make(model, duration=0.25, seconds_start=3.5, negative_prompt="bell")
    make(model)
    hook.remove()
    assert [numbers["seconds_start"].tolist() for numbers in told] == [[3.5], [3.5], [0]]
    assert [numbers["seconds_total"].tolist() for numbers in told] == [[3.75], [3.75], [1]]


SOUND = Audio(0.1 * initial_noise((2, WINDOW), [9]), RATE)


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.7, 0.95])
def test_the_strength_is_the_part_of_the_time_that_is_run(
    model: LatentDiffusion, start: list[tuple[Tensor, list[float]]], strength: float
) -> None:
    make(model, steps=10, init_audio=SOUND, init_strength=strength)
    ((x, sigmas),) = start
    t_max = math.atan(500.0) * 2 / math.pi
    sigma = math.tan(math.pi / 2 * strength * t_max)
    assert sigmas == pytest.approx(polyexponential(10, min(0.3, sigma / 10), sigma))
    latents = model.autoencoder.encode(SOUND.samples)
    torch.testing.assert_close(x, latents + sigmas[0] * initial_noise((8, FRAMES), [1]))


def test_the_noise_level_can_be_given_instead(
    model: LatentDiffusion, start: list[tuple[Tensor, list[float]]]
) -> None:
    make(model, init_audio=SOUND, init_noise_level=7.5)
    ((x, sigmas),) = start
    assert sigmas == pytest.approx(polyexponential(3, 0.3, 7.5))
    latents = model.autoencoder.encode(SOUND.samples)
    torch.testing.assert_close(x, latents + 7.5 * initial_noise((8, FRAMES), [1]))


def test_strength_0_is_the_reconstruction_and_1_a_plain_generation(model: LatentDiffusion) -> None:
    nothing = make(model, init_audio=SOUND, init_strength=0)
    expected = model.autoencoder.decode(model.autoencoder.encode(SOUND.samples))
    torch.testing.assert_close(nothing.samples, expected)
    assert torch.equal(make(model, init_audio=SOUND, init_strength=1).samples, make(model).samples)


def test_a_sound_of_any_form_is_the_same_start(model: LatentDiffusion, tmp_path: Path) -> None:
    SOUND.save(tmp_path / "sound.wav", subtype="float")
    forms = [tmp_path / "sound.wav", str(tmp_path / "sound.wav"), (SOUND.samples, RATE),
             (SOUND.samples[0], RATE), (RATE, SOUND.samples[0].T.numpy())]  # fmt: skip
    expected = make(model, init_audio=SOUND).samples
    for form in forms:
        assert torch.equal(make(model, init_audio=form).samples, expected)


def test_a_longer_sound_than_the_window_is_told(
    model: LatentDiffusion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = Audio(0.1 * initial_noise((2, WINDOW + 800), [9]), RATE)
    long.save(tmp_path / "long.wav", subtype="float")
    expected = make(model, init_audio=long.trim(1)).samples
    for form in (long, tmp_path / "long.wav"):
        caplog.clear()
        assert torch.equal(make(model, init_audio=form).samples, expected)
        assert caplog.messages == [
            "init_audio is longer than the 1.00 s that are worked on: its start is used"
        ]


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.7])
def test_any_sound_can_be_started_from(
    model: LatentDiffusion, start: list[tuple[Tensor, list[float]]], seconds: float
) -> None:
    mono = 0.1 * initial_noise((1, round(8000 * seconds)), [9])
    make(model, ["kick", "bell"], init_audio=Audio(mono, 8000))
    stereo = resample(mono, 8000, RATE).expand(1, 2, -1)[..., :WINDOW]
    latents = model.autoencoder.encode(functional.pad(stereo, (0, WINDOW - stereo.shape[-1])))
    ((x, sigmas),) = start
    expected = latents + sigmas[0] * initial_noise((8, FRAMES), [1, 2])
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-5)


def test_each_item_can_start_from_a_sound_of_its_own(
    model: LatentDiffusion, start: list[tuple[Tensor, list[float]]]
) -> None:
    sounds = Audio(0.1 * initial_noise((2, WINDOW), [8, 9]), RATE)
    make(model, ["kick", "bell"], init_audio=sounds)
    make(model, "bell", init_audio=sounds[1], seed=2)
    (together, _), (alone, _) = start
    torch.testing.assert_close(together[1:], alone)


def test_the_callback_is_given_every_step(model: LatentDiffusion) -> None:
    seen: list[Step] = []
    audio = make(model, callback=seen.append)
    assert [(step.number, step.steps) for step in seen] == [(0, 3), (1, 3), (2, 3)]
    last = seen[-1].latents
    assert last.shape == (1, 8, FRAMES)
    torch.testing.assert_close(model.autoencoder.decode(last), audio.samples)
    # A preview is what would be heard if the run ended there; latents are free to be used.
    assert torch.equal(seen[-1].preview().samples, audio.samples)
    assert seen[0].preview().samples.shape == audio.samples.shape
    (last.requires_grad_() ** 2).sum().backward()
    torch.testing.assert_close(last.grad, 2 * last.detach())


def test_the_sound_can_be_trained_on(model: LatentDiffusion) -> None:
    gain = torch.ones((), requires_grad=True)
    samples = make(model).samples
    (samples * gain).sum().backward()
    torch.testing.assert_close(gain.grad, samples.sum())


@pytest.mark.parametrize("sampler", sampler_names())
def test_a_callback_that_returns_false_stops(model: LatentDiffusion, sampler: str) -> None:
    seen: list[int] = []

    def stop(step: Step) -> bool:
        seen.append(step.number)
        return step.number < 1

    with pytest.raises(StoppedError, match=r"^stopped by the callback after step 2 of 3$"):
        make(model, callback=stop, sampler=sampler)
    assert seen == [0, 1]


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("answer", [True, None, np.True_, 0, ""])
def test_a_callback_that_returns_anything_else_goes_on(model: LatentDiffusion, answer: Any) -> None:
    make(model, callback=lambda _: answer)


@pytest.mark.usefixtures("types_unchecked")
def test_false_of_numpy_is_false(model: LatentDiffusion) -> None:
    with pytest.raises(StoppedError, match=r"after step 1 of"):
        make(model, callback=lambda step: np.less(step.number, 0))


def test_progress_goes_to_standard_error(
    model: LatentDiffusion, capsys: pytest.CaptureFixture[str]
) -> None:
    make(model, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sampling" in shown.err
    assert "3/3" in shown.err
    assert "steps/s" in shown.err
    make(model)
    assert capsys.readouterr() == ("", "")


def test_half_precision_works_on_the_cpu_with_its_state_in_float32(
    tiny_model_folder: Path,
) -> None:
    model = load(tiny_model_folder, dtype="bfloat16", device="cpu")
    assert isinstance(model, StableAudio)
    seen: list[torch.dtype] = []
    audio = model.generate(
        ["kick", "bell"],
        steps=10,
        seed=3,
        negative_prompt="drum",
        progress=False,
        callback=lambda step: seen.append(step.latents.dtype),
    )
    assert set(seen) == {torch.float32}
    assert audio.samples.shape == (2, 2, WINDOW)
    assert audio.samples.isfinite().all()
    assert model.transformer.dtype == torch.bfloat16


def test_a_model_that_gives_nan_is_refused(model: LatentDiffusion) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.transformer.output_conv.weight[0, 0, 0] = math.nan
    message = (
        r"^the model gave NaN or infinite samples in float32; lower the guidance scale, or "
        r"check the checkpoint$"
    )
    with pytest.raises(FloatingPointError, match=message):
        make(broken)
    with pytest.raises(FloatingPointError, match=message):
        make(model, guidance_scale=1e30)
    half = copy.deepcopy(broken)
    half.transformer.to(torch.bfloat16)
    with pytest.raises(
        FloatingPointError, match=r"=bfloat16,\S*; load it with dtype='float32', lower"
    ):
        make(half)

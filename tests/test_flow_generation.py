"""From a prompt to audio with a rectified flow, and numbers of any name."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open import sampling
from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.objective import Objective
from stable_audio_open.diffusion.samplers import StepNoise, initial_noise, sampler_names
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.sampling_settings import default_sampling, resolve_sampling

pytestmark = pytest.mark.numerical

FRAMES = 500


@pytest.fixture
def model(random_flow: LatentDiffusion) -> LatentDiffusion:
    return random_flow


def make(model: LatentDiffusion, prompt: str | Sequence[str] = "deep kick", **given: Any) -> Audio:
    settings = {"seed": 1, "progress": False, "conditions": {"bpm": 120}} | given
    return generate(model, prompt, **settings)


def of_objective(model: LatentDiffusion, objective: Objective) -> LatentDiffusion:
    return LatentDiffusion(
        autoencoder=model.autoencoder,
        conditioner=model.conditioner,
        transformer=model.transformer,
        window_samples=model.window_samples,
        objective=objective,
    )


# The defaults.


@pytest.mark.parametrize(
    ("objective", "steps", "scale", "sampler", "schedule"),
    [
        ("v", 100, 7.0, "dpmpp-2m", "polyexponential"),
        ("rectified_flow", 50, 4.0, "euler", "log-snr"),
        ("rf_denoiser", 8, 1.0, "ping-pong", "log-snr"),
    ],
)
def test_defaults_are_the_models(
    model: LatentDiffusion,
    objective: Objective,
    steps: int,
    scale: float,
    sampler: str,
    schedule: str,
) -> None:
    found = resolve_sampling(of_objective(model, objective), {"steps": None})
    settings = (found.steps, found.guidance_scale, found.sampler, found.schedule)
    assert settings == (steps, scale, sampler, schedule)
    assert len(found.sigmas) == steps + 1
    assert found.sigmas[0] == (pytest.approx(500) if objective == "v" else math.inf)


def test_other_schedules_have_their_own_levels(model: LatentDiffusion) -> None:
    between = default_sampling(model, schedule="karras")
    assert (between["sigma_min"], between["sigma_max"]) == pytest.approx(
        (math.exp(-2), math.exp(6))
    )
    v = of_objective(model, "v")
    assert resolve_sampling(v, {"schedule": "log-snr", "steps": 4}).sigmas[0] == math.inf
    assert resolve_sampling(v, {"schedule": "karras", "steps": 4}).sigmas[0] == pytest.approx(500)


def test_few_steps_are_the_published_loop(model: LatentDiffusion) -> None:
    """Ping-pong without guidance, written out in t."""
    conditioner, shape = model.conditioner, (8, FRAMES)
    told = conditioner(
        conditioner.prepare([{"prompt": "deep kick", "seconds_total": 1.0, "bpm": 120.0}])
    )
    t = (-torch.linspace(-6, 2, 9)).sigmoid()
    t[0], t[-1] = 1, 0
    x, fresh = initial_noise(shape, [1]), StepNoise([1], shape)
    with torch.no_grad():
        for now, then in itertools.pairwise(t):
            x0 = x - now * model.transformer(x, now[None], told)
            x = x0 if then == 0 else (1 - then) * x0 + then * fresh(0, 0)
        expected = model.autoencoder.decode(x)
    found = make(model).samples
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", sampler_names())
@pytest.mark.parametrize("schedule", ["log-snr", "linear", "polyexponential"])
def test_every_sampler_and_schedule_works(
    model: LatentDiffusion, sampler: str, schedule: str
) -> None:
    first, second = (make(model, sampler=sampler, schedule=schedule, steps=3) for _ in range(2))
    assert torch.equal(first.samples, second.samples)
    assert first.samples.std() > 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, list[float]]]:
    """Fill with what each generation gives to its sampler: latents and noise levels."""
    started: list[tuple[Tensor, list[float]]] = []

    def stay(_: Any, x: Tensor, sigmas: list[float], **__: Any) -> Tensor:
        started.append((x, sigmas))
        return x

    monkeypatch.setattr(sampling, "get_sampler", lambda name: stay)
    return started


def test_it_begins_with_the_noise_alone(
    model: LatentDiffusion, asked: list[tuple[Tensor, list[float]]]
) -> None:
    make(model, seed=5)
    [(x, sigmas)] = asked
    assert sigmas[0] == math.inf
    assert torch.equal(x, initial_noise((8, FRAMES), [5]))


@pytest.mark.parametrize("strength", [0.2, 0.6])
def test_a_variation_begins_at_its_time(
    model: LatentDiffusion, asked: list[tuple[Tensor, list[float]]], strength: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    sound = Audio(0.1 * torch.randn(1, 2, 16000, generator=generator), 16000)
    make(model, init_audio=sound, init_strength=strength)
    [(x, sigmas)] = asked
    assert len(sigmas) == 9
    latents = model.autoencoder.encode(sound.samples)
    x_t = (1 - strength) * latents + strength * initial_noise((8, FRAMES), [1])
    torch.testing.assert_close(x / (1 + sigmas[0]), x_t)


def test_strength_1_is_a_generation_and_0_the_sound(model: LatentDiffusion) -> None:
    generator = torch.Generator().manual_seed(0)
    sound = Audio(0.1 * torch.randn(1, 2, 16000, generator=generator), 16000)
    plain = make(model)
    assert torch.equal(make(model, init_audio=sound, init_strength=1.0).samples, plain.samples)
    kept = make(model, init_audio=sound, init_strength=0.0).samples
    decoded = model.autoencoder.decode(model.autoencoder.encode(sound.samples))
    torch.testing.assert_close(kept, decoded)


# Guidance.


def halves(model: LatentDiffusion, **given: Any) -> list[int]:
    """Items of each call of the transformer."""
    seen: list[int] = []
    hook = model.transformer.output_projection.register_forward_pre_hook(
        lambda _, inputs: seen.append(len(inputs[0]))
    )
    make(model, **given)
    hook.remove()
    return seen


def test_few_steps_are_not_guided_unless_asked_for(model: LatentDiffusion) -> None:
    assert halves(model) == [1] * 8
    assert halves(model, guidance_scale=3.0) == [2] * 8


def test_the_interval_of_guidance_is_in_t(model: LatentDiffusion) -> None:
    settings = {"schedule": "linear", "steps": 4, "guidance_scale": 3.0}  # t = 1, 3/4, 1/2, 1/4
    assert halves(model, **settings, guidance_interval=(0.4, 0.8)) == [1, 2, 2, 1]
    assert halves(model, **settings, guidance_interval=(0.9, 1.0)) == [2, 1, 1, 1]
    assert halves(model, **settings) == [2, 2, 2, 2]


# The shift.


@pytest.mark.parametrize("use_sine", [False, True])
def test_linear_grids_are_shifted_by_the_length(model: LatentDiffusion, use_sine: bool) -> None:
    shift = TimestepShift(min_length=10, max_length=1000, use_sine=use_sine)
    shifted = LatentDiffusion(
        autoencoder=model.autoencoder,
        conditioner=model.conditioner,
        transformer=model.transformer,
        window_samples=model.window_samples,
        objective="rectified_flow",
        timestep_shift=shift,
    )
    for frames in (FRAMES, 100):
        found = resolve_sampling(shifted, {"schedule": "linear", "steps": 5}, frames=frames)
        times = [1.0, *(sigma / (1 + sigma) for sigma in found.sigmas[1:])]
        assert times == pytest.approx([shift.time(1 - i / 5, frames) for i in range(6)])
        # A variation begins where it is asked to.
        begun = found.varying(0.5).sigmas
        assert begun[0] == pytest.approx(1)
        linear = [shift.inverse(sigma / (1 + sigma), frames) for sigma in begun]
        assert linear == pytest.approx([linear[0] * (1 - i / 5) for i in range(6)])
    # The published grid of log SNR is not shifted.
    assert resolve_sampling(shifted, {}).sigmas == resolve_sampling(model, {"steps": 50}).sigmas


def test_a_shorter_window_is_shifted_less(
    model: LatentDiffusion, asked: list[tuple[Tensor, list[float]]]
) -> None:
    model.timestep_shift = TimestepShift(min_length=10, max_length=1000)
    try:
        for window in (1.0, 0.25):
            make(model, schedule="linear", steps=2, window=window)
    finally:
        model.timestep_shift = None
    whole, quarter = (sigmas[1] for _, sigmas in asked)
    # sigma' = e^mu sigma, and sigma is 1 in the middle.
    assert math.log(whole) == pytest.approx(0.5 + 0.65 * (500 - 10) / 990)
    assert math.log(quarter) == pytest.approx(0.5 + 0.65 * (125 - 10) / 990)


# Conditions.


def test_a_number_is_what_the_model_is_conditioned_on(model: LatentDiffusion) -> None:
    slow, fast = make(model, conditions={"bpm": 60}), make(model, conditions={"bpm": 200})
    assert not torch.allclose(slow.samples, fast.samples)
    batch = make(model, ["deep kick"] * 2, seed=[1, 1], conditions={"bpm": [60, 200]})
    peak = float(slow.samples.abs().max())
    both = torch.cat((slow.samples, fast.samples))
    torch.testing.assert_close(batch.samples, both, rtol=0, atol=1e-4 * peak)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"conditions": None},
         'the model is conditioned on bpm; give conditions={"bpm": ...}'),
        ({"conditions": {"bpm": 120, "bmp": 3}},
         'conditions give "bmp", on which the model is not conditioned; it takes bpm; did you mean '
         '"bpm"?'),
        ({"conditions": {"bpm": 120, "seconds_total": 3}},
         "conditions give seconds_total, which follows from duration and seconds_start; leave it "
         "out there"),
        ({"conditions": {"bpm": [120, 130]}},
         "give one condition bpm or one per item, got 2 for 1 items"),
        ({"conditions": {"bpm": math.nan}}, "the condition bpm must be a finite number, got nan"),
        ({"seconds_start": 2.0},
         "seconds_start is 2.0, but the model is not conditioned on it; leave it out"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(
    model: LatentDiffusion, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011, the whole message is compared
        make(model, **given)
    assert str(error.value) == message


def test_models_of_seconds_alone_take_no_conditions(random_model: LatentDiffusion) -> None:
    with pytest.raises(
        ValueError, match=r'^conditions give "bpm", on which the .*; it takes none$'
    ):
        make(random_model)


def test_sampling_is_checked_as_a_whole(model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match="sigma_max must be above 0, got -1"):
        resolve_sampling(model, {"sigma_max": -1.0})
    with pytest.raises(ValueError, match="must satisfy 0 < sigma_min < sigma_max"):
        resolve_sampling(model, {"schedule": "karras", "sigma_max": math.inf})

"""Loops, with a small random model."""

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.circular import resample_ring
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.editing import loops
from stable_audio_open.editing.generate import generate
from stable_audio_open.editing.loops import Ring, decode_ring, plan_ring, with_tempo
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.sampling import Step

pytestmark = pytest.mark.numerical

RATE, HOP, FRAMES = 16000, 32, 500


@pytest.fixture
def model(random_model: LatentDiffusion) -> LatentDiffusion:
    return random_model


def make(model: LatentDiffusion, prompt: Any = "deep kick", **given: Any) -> Audio:
    settings: dict[str, Any] = {"steps": 3, "seed": 1, "progress": False, "loop": True}
    return generate(model, prompt, **settings | given)


def assert_alike(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, which the steps enlarge."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("samples", [1600, 1601, 1616, 8000, 15999, 16000, 16001, 40001, 64001])
def test_a_loop_has_exactly_its_length(model: LatentDiffusion, samples: int) -> None:
    audio = make(model, samples=samples, steps=1)
    assert audio.samples.shape == (1, 2, samples)
    assert audio.samples.std() > 0
    assert make(model, duration=samples / RATE, steps=1).samples.shape[-1] == samples


def test_without_a_length_a_loop_is_as_long_as_the_window(model: LatentDiffusion) -> None:
    assert make(model).samples.shape[-1] == FRAMES * HOP
    assert make(model, window=0.3).samples.shape[-1] == 4800


def test_bars_and_beats(model: LatentDiffusion) -> None:
    seen: list[str] = []
    prepare = model.conditioner.texts["prompt"].prepare

    def told(prompts: list[str]) -> Any:
        seen.extend(prompts)
        return prepare(prompts)

    model.conditioner.texts["prompt"].prepare = told  # type: ignore[method-assign,assignment]
    try:
        audio = make(model, ["kick", [(0, "bell"), (0.5, "bass")]], bars=1, bpm=174.5, steps=1)
    finally:
        del model.conditioner.texts["prompt"].prepare  # type: ignore[union-attr]
    # Four beats of 60 / 174.5 seconds.
    assert audio.samples.shape[-1] == round(4 * 60 / 174.5 * RATE)
    assert set(seen) == {"kick, 174.5 BPM", "bell, 174.5 BPM", "bass, 174.5 BPM"}


def test_a_prompt_with_a_tempo_keeps_it() -> None:
    assert with_tempo("amen break", 120) == "amen break, 120 BPM"
    assert with_tempo("amen break, 90bpm", 120) == "amen break, 90bpm"
    assert with_tempo("BPM 90, amen", 120) == "BPM 90, amen"
    assert with_tempo([(0, "a"), (3, "b")], 99.5) == [(0, "a, 99.5 BPM"), (3, "b, 99.5 BPM")]
    assert with_tempo([("a", 0.5), ("b", 1)], 99) == [("a, 99 BPM", 0.5), ("b, 99 BPM", 1)]
    assert with_tempo(["a", [(0, "b")]], 99) == ["a, 99 BPM", [(0, "b, 99 BPM")]]


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        # 8 s are 172.3 frames, of which 172 are the nearest: 0.16 % higher.
        (8.0, Ring(172, 352800, closed=False)),
        # 4 s are 86.1.
        (4.0, Ring(86, 176400, closed=False)),
        # 2 s are 43.07.
        (2.0, Ring(43, 88200, closed=False)),
        # 1 s are 21.53, which no pitch should hide; the rest of 22 is crossfaded into the head.
        (1.0, Ring(22, 44100, closed=True)),
        # Of 10.9 frames hardly anything would be left to crossfade: one frame more.
        (22323 / 44100, Ring(12, 22323, closed=True)),
        (2048 * 44 / 44100, Ring(44, 2048 * 44, closed=False)),
        (2048 * 200 / 44100, Ring(200, 2048 * 200, closed=False)),
        # A tenth of a semitone.
        (round(2048 * 40.24) / 44100, Ring(40, round(2048 * 40.24), closed=False)),
        (round(2048 * 40.25) / 44100, Ring(41, round(2048 * 40.25), closed=True)),
    ],
)
def test_the_ring_of_a_loop(duration: float, expected: Ring) -> None:
    assert plan_ring(duration, sample_rate=44100, hop=2048) == expected


def test_the_pitch_of_8_seconds_moves_by_a_third_of_a_percent_at_most() -> None:
    for samples in range(8 * 44100, 8 * 44100 + 4096, 7):
        ring = plan_ring(samples / 44100, sample_rate=44100, hop=2048)
        assert abs(ring.frames * 2048 / samples - 1) < 0.003


def test_from_four_seconds_on_the_pitch_is_enough() -> None:
    for samples in range(4 * 44100, 4 * 44100 + 4096, 7):
        assert not plan_ring(samples / 44100, sample_rate=44100, hop=2048).closed


def test_a_whole_ring_is_decoded_as_if_it_had_no_ends(model: LatentDiffusion) -> None:
    latents = initial_noise((8, 200), [3])
    plain = decode_ring(model, latents, Ring(200, 6400, closed=False), seeds=[3]).samples
    moved = decode_ring(model, latents.roll(60, -1), Ring(200, 6400, closed=False), seeds=[3])
    torch.testing.assert_close(moved.samples, plain.roll(60 * HOP, -1), atol=1e-6, rtol=1e-5)
    three = model.autoencoder.decode(latents.repeat(1, 1, 3))
    torch.testing.assert_close(plain, three[..., 6400:12800], atol=1e-6, rtol=1e-5)
    # Which a plain decoder's result, that has ends, is not.
    assert (model.autoencoder.decode(latents) - plain)[..., :64].abs().max() > 1e-3


def test_a_ring_shorter_than_the_decoders_reach_is_decoded_too(model: LatentDiffusion) -> None:
    frames = 5
    assert model.autoencoder.decoder_margin > frames
    latents = initial_noise((8, frames), [3])
    found = decode_ring(model, latents, Ring(frames, 160, closed=False), seeds=[3]).samples
    many = model.autoencoder.decode(latents.repeat(1, 1, 9))
    torch.testing.assert_close(found, many[..., 640:800], atol=1e-6, rtol=1e-5)


def test_surplus_is_faded_or_resampled(model: LatentDiffusion) -> None:
    latents = initial_noise((8, 200), [3])
    whole = decode_ring(model, latents, Ring(200, 6400, closed=False), seeds=[3]).samples
    closed = decode_ring(model, latents, Ring(200, 6200, closed=True), seeds=[3]).samples
    assert torch.equal(closed[..., 200:], whole[..., 200:6200])
    resampled = decode_ring(model, latents, Ring(200, 6390, closed=False), seeds=[3]).samples
    assert torch.equal(resampled, resample_ring(whole, 6390))


@pytest.mark.parametrize("samples", [16000, 24000])
def test_moving_the_noise_by_a_window_moves_the_loop(
    model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    """Two windows go around such a ring; in one step, each then sees what the other one saw."""
    step = samples // HOP // 2
    plain = make(model, samples=samples, steps=1)
    monkeypatch.setattr(
        loops, "initial_noise", lambda shape, seeds: initial_noise(shape, seeds).roll(step, -1)
    )
    moved = make(model, samples=samples, steps=1)
    assert_alike(moved.samples, plain.samples.roll(step * HOP, -1))


def seconds_told(model: LatentDiffusion, **given: Any) -> set[tuple[float, float]]:
    seen: set[tuple[float, float]] = set()
    hook = model.conditioner.register_forward_pre_hook(
        lambda _, inputs: seen.add(
            (inputs[0].numbers["seconds_start"].item(), inputs[0].numbers["seconds_total"].item())
        )
    )
    make(model, steps=1, **given)
    hook.remove()
    return seen


@pytest.mark.parametrize("duration", [0.2, 1.0, 2.7])
def test_to_the_model_each_window_is_a_whole_sound(model: LatentDiffusion, duration: float) -> None:
    assert seconds_told(model, duration=duration) == {(0, 1)}
    assert seconds_told(model, duration=duration, window=0.5) == {(0, 0.5)}


def test_a_short_loop_fills_the_window(model: LatentDiffusion) -> None:
    seen: list[Tensor] = []
    original = model.transformer.predict

    def predict(x: Tensor, *rest: Any) -> Tensor:
        seen.append(x)
        return original(x, *rest)

    model.transformer.predict = predict  # type: ignore[method-assign]
    try:
        make(model, samples=150 * HOP, guidance_scale=1.0)
    finally:
        del model.transformer.predict
    assert [x.shape[-1] for x in seen] == [FRAMES] * 3
    for x in seen:
        assert torch.equal(x[..., 150:300], x[..., :150])
        assert torch.equal(x[..., 450:], x[..., :50])


def test_windows_begin_elsewhere_at_each_step(model: LatentDiffusion) -> None:
    """The ring's noise falls by a factor from step to step; only its place in the window moves."""
    seen: list[Tensor] = []
    original = model.transformer.predict

    def predict(x: Tensor, *rest: Any) -> Tensor:
        seen.append(x)
        return original(x, *rest)

    model.transformer.predict = predict  # type: ignore[method-assign]
    try:
        make(model, samples=300 * HOP, guidance_scale=1.0, steps=4, sigma_min=400.0)
    finally:
        del model.transformer.predict
    first = seen[0][..., :300]
    places = []
    for x in seen:
        likeness = [float((x[..., :300] * first.roll(-move, -1)).mean()) for move in range(300)]
        places.append(max(range(300), key=likeness.__getitem__))
    # Multiples of the golden ratio, modulo 1, of 300 frames.
    assert places == [0, 185, 70, 256]


def test_the_callback_is_given_the_ring(model: LatentDiffusion) -> None:
    steps: list[Step] = []
    audio = make(model, samples=5000, callback=steps.append)
    assert [(step.number, step.steps) for step in steps] == [(0, 3), (1, 3), (2, 3)]
    assert torch.equal(steps[-1].preview().samples, audio.samples)
    assert steps[0].preview().samples.shape == audio.samples.shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"duration": 0.05}, "a loop must last 0.1 to 3600 seconds, got 0.05"),
        ({"bars": 2000, "bpm": 100}, "a loop must last 0.1 to 3600 seconds, got 4800"),
        (
            {"duration": float("nan")},
            "duration must be above 0 and at most 3600 seconds, got nan",
        ),
        ({"bars": 0, "bpm": 100}, "bars must be above 0 and finite, got 0"),
        ({"bars": 4, "bpm": -1}, "bpm must be above 0 and finite, got -1"),
        ({"bars": 4}, "bars 4 needs bpm too: both make the length of a loop"),
        (
            {"bars": 4, "bpm": 120, "duration": 3},
            "duration 3 and bars 4 are two lengths of one sound; give one of them",
        ),
        (
            {"seconds_start": 2.0},
            "a loop has no place in a longer recording, got seconds_start 2; leave it out",
        ),
        (
            {"guidance_momentum": -0.5},
            "the windows of a loop move from step to step, which guidance_momentum -0.5 cannot "
            "follow; leave it at 0",
        ),
        (
            {"prompt": ["a", "b"], "duration": [0.5, 0.6]},
            "loops of a batch last equally long, got durations [0.5, 0.6]; make them one by one",
        ),
        ({"trim": False}, "a loop has nothing behind its end to keep; leave trim as it is"),
        (
            {"init_audio": Audio(torch.zeros(1, 2, 9), RATE)},
            "a loop is made from text alone, got init_audio too; leave it out",
        ),
        (
            {"window": 1.5},
            "window must be above 0 and at most the model's 1.00 seconds, got 1.5",
        ),
    ],
)
def test_mistakes_are_told(model: LatentDiffusion, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(model, **given)


def test_a_model_of_long_frames_needs_longer_loops(random_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=r"^a loop must last 0.392 to 3600 seconds, got 0.3$"):
        plan_ring(0.3, sample_rate=44100, hop=8192)


def test_a_loop_says_that_it_is_one(
    model: LatentDiffusion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that nothing fades its end, and formats that add silence are warned of."""
    loop = make(model, samples=5000)
    assert loop.loop
    assert not generate(model, "kick", duration=0.5, steps=1, progress=False).loop
    quiet = replace(loop, samples=loop.samples / 10)
    quiet.save(tmp_path / "a.wav")
    assert caplog.messages == []
    quiet.save(tmp_path / "a.ogg")
    assert len(caplog.messages) == 1


def test_loops_of_half_precision(random_model: LatentDiffusion) -> None:
    model = copy.deepcopy(random_model).bfloat16()
    audio = make(model, duration=0.5)
    assert audio.samples.dtype == torch.float32
    assert audio.samples.isfinite().all()


def test_silence_is_warned_of(model: LatentDiffusion, caplog: pytest.LogCaptureFixture) -> None:
    make(model, ["deep kick", "rain"], duration=0.5, steps=1)
    assert caplog.messages == []
    silent = copy.deepcopy(model)
    silent.autoencoder.decoder.register_forward_hook(lambda *given: 1e-6 * given[-1])
    make(silent, ["deep kick", "rain"], duration=0.5, steps=1)
    assert caplog.messages == [
        f"item {item} is silent: a sound that begins and ends has no place in a loop; describe one "
        "that goes on, such as a drone or a drum loop"
        for item in (0, 1)
    ]

"""Editing on a GPU that is not here: nothing asks it for a value or mixes devices.

No step of a sampler waits for a copy. What is edited comes from the CPU and goes back there, so
each test ends where latents are decoded. (Prompts that change along the way are placed by
values on the CPU, which fake tensors have not there either.)
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing import inpainting, interpolation, long, loops, span_generation
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.sampling import run_sampler
from tests.conftest import SAMPLE_RATE
from tests.fake_gpu import GPU, NoWaiting, on_fake_gpu

ASKED: dict[str, Any] = {"steps": 3, "seed": 1, "progress": False}
SOUND = Audio(torch.zeros(1, 2, SAMPLE_RATE // 2), SAMPLE_RATE)
"""Half a second."""

pytestmark = pytest.mark.usefixtures("types_unchecked")


class ReachedError(Exception):
    """The latents of an edit are there."""


def sample_without_waiting(*args: Any, **options: Any) -> Tensor:
    with NoWaiting():
        return run_sampler(*args, **options)


def reached(model: LatentDiffusion, latents: Tensor, **options: Any) -> Audio:
    raise ReachedError(latents)


@pytest.fixture(autouse=True)
def latents_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Memory cannot be pinned for a device that is not here.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    for module in (interpolation, long, loops, span_generation):
        monkeypatch.setattr(module, "run_sampler", sample_without_waiting)
        monkeypatch.setattr(module, "decode_audio", reached)
    sounds = span_generation.Sounds(SOUND.samples, SOUND.lengths)
    monkeypatch.setattr(inpainting, "sound_to_edit", lambda model, audio: sounds)


def check(random_model: LatentDiffusion, edit: Callable[[LatentDiffusion], object]) -> None:
    with on_fake_gpu(random_model) as model, pytest.raises(ReachedError) as found:
        edit(model)
    [latents] = found.value.args
    assert (latents.device.type, latents.dtype) == (GPU, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("edges", ["mirrored", "muted", "generated", "released"])
def test_inpainting(random_model: LatentDiffusion, edges: Any) -> None:
    check(
        random_model,
        lambda model: inpainting.inpaint(
            model, SOUND, "kick", spans=[(0.1, 0.2)], edges=edges, **ASKED
        ),
    )


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "dpmpp-3m-sde"])
def test_extending(random_model: LatentDiffusion, sampler: str) -> None:
    check(
        random_model,
        lambda model: inpainting.extend(
            model, SOUND, "kick", seconds=0.1, sampler=sampler, **ASKED
        ),
    )


LONG: list[dict[str, Any]] = [
    {"prompt": "kick"},
    {"prompt": ["kick", "bell"], "negative_prompt": "hum"},
    {"prompt": ["kick", "bell"], "guidance_scale": [2.0, 3.0]},
    {"prompt": ["kick", "bell"], "guidance_scale": [2.0, [(1.0, 2.0), (100.0, 7.0)]]},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", LONG, ids=str)
def test_long_sounds(random_model: LatentDiffusion, options: dict[str, Any]) -> None:
    check(
        random_model,
        lambda model: long.generate_long(model, duration=2.5, **options, **ASKED),
    )


@pytest.mark.parametrize("duration", [0.3, 1.7])
def test_loops(random_model: LatentDiffusion, duration: float) -> None:
    check(
        random_model,
        lambda model: loops.generate_loop(model, "kick", duration=duration, **ASKED),
    )


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "dpmpp-3m-sde"])
def test_sounds_on_the_way(
    random_model: LatentDiffusion, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def between(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
        """Angles are values: they are measured on the CPU."""
        assert {start.device.type, end.device.type} == {"cpu"}
        return torch.stack([start] * len(shares))

    monkeypatch.setattr(interpolation, "slerp", between)
    asked = ASKED | {"seed": (1, 2), "sampler": sampler, "duration": 0.5}
    check(
        random_model,
        lambda model: interpolation.interpolate(model, ("kick", "bell"), count=3, **asked),
    )


def test_pieces_of_a_stream(random_model: LatentDiffusion) -> None:
    with on_fake_gpu(random_model) as model, torch.inference_mode(), NoWaiting():
        latents = torch.zeros(2, model.autoencoder.latent_channels, 60, device=GPU)
        pieces = list(model.autoencoder.decode_pieces(latents, first=10, core=30))
    assert [piece.shape[-1] for piece in pieces] == [320, 960, 640]
    assert {piece.device.type for piece in pieces} == {GPU}

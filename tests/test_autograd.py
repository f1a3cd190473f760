"""What the public functions return can be used in a training, whatever mode they work in."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.generate import generate_latents
from stable_audio_open.pretrained import StableAudio, load

ASKED: dict[str, Any] = {"steps": 2, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


def sound(seconds: float = 0.5) -> Audio:
    generator = torch.Generator().manual_seed(0)
    return Audio(0.1 * torch.randn(1, 2, round(seconds * 16000), generator=generator), 16000)


def steps_of(model: StableAudio) -> Tensor:
    seen: list[Tensor] = []

    def watch(step: Any) -> None:
        seen.append(step.latents)
        assert not step.preview().samples.is_inference()

    model.generate("kick", callback=watch, **ASKED)
    return seen[0]


FUNCTIONS: dict[str, Callable[[StableAudio], Audio | Tensor]] = {
    "generate": lambda model: model.generate("kick", **ASKED),
    "cut": lambda model: model.generate("kick", duration=0.3, **ASKED),
    "varied": lambda model: model.generate("kick", init_audio=sound(), **ASKED),
    "reconstructed": lambda model: model.generate(
        "kick", init_audio=sound(), init_strength=0.0, **ASKED
    ),
    "long": lambda model: model.generate("kick", duration=1.5, **ASKED),
    "long and reconstructed": lambda model: model.generate(
        "kick", duration=1.5, init_audio=sound(), init_strength=0.0, **ASKED
    ),
    "loop": lambda model: model.generate("kick", loop=True, duration=0.5, **ASKED),
    "loop of another length": lambda model: model.generate(
        "kick", loop=True, samples=7777, **ASKED
    ),
    "closed loop": lambda model: model.generate("kick", loop=True, duration=0.1013, **ASKED),
    "inpaint": lambda model: model.inpaint(sound(), "kick", spans=[(0.1, 0.2)], **ASKED),
    "extend": lambda model: model.extend(sound(), "kick", seconds=0.2, **ASKED),
    "interpolate": lambda model: model.interpolate(("kick", "bell"), count=2, **ASKED),
    "stream": lambda model: next(iter(model.stream("kick", **ASKED))),
    "latents": lambda model: generate_latents(model, "kick", **ASKED).latents,
    "latents of a sound": lambda model: (
        generate_latents(model, "kick", init_audio=sound(), init_strength=0.0, **ASKED).latents
    ),
    "latents of a step": steps_of,
    "noise": lambda model: model.noise(1),
    "sigmas": lambda model: model.sigmas(4)[None],
    "encode": lambda model: model.autoencoder.encode(sound().samples),
    "decode": lambda model: model.autoencoder.decode(model.noise(1)),
    "decode_pieces": lambda model: next(model.autoencoder.decode_pieces(model.noise(1))),
    "reconstruct": lambda model: model.autoencoder.reconstruct(sound().samples),
    "posterior": lambda model: model.autoencoder.posterior(sound().samples, chunked=True).mean,
    "finish": lambda model: model.generate("kick", **ASKED).finish(fade=0.1, peak=-1),
    "part": lambda model: model.generate(["kick", "bell"], **ASKED)[1:].cut(0.1, 0.2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_go_through_what_is_returned(model: StableAudio, name: str) -> None:
    found = FUNCTIONS[name](model)
    x = found.samples if isinstance(found, Audio) else found
    assert not x.is_inference()
    layer = nn.Linear(x.shape[-1], 1)
    layer(x.detach()).square().sum().backward()
    assert layer.weight.grad is not None
    x.mul_(2)  # nor is a change in place forbidden


@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
def test_a_denoiser_outlives_the_mode_that_it_was_made_in(
    model: StableAudio, mode: Callable[[], Any]
) -> None:
    with mode():
        denoiser = model.denoiser(
            ["kick", [("bell", 0.5), ("bass", 0.5)]], negative_prompt="drum", guidance_scale=3.0
        )
        denoiser(model.noise(1, count=2), 1.234)  # a level that is not prepared
    for sigma in (1.234, 0.77, float(model.sigmas()[0])):
        x = model.noise(1, count=2).clone().requires_grad_()
        denoiser(x, sigma).square().sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert float(x.grad.abs().max()) > 0


def test_a_model_trains_after_it_has_generated(model: StableAudio) -> None:
    model.generate("kick", **ASKED)
    x = model.noise(1).clone()
    conditioning = model.conditioner(
        model.conditioner.prepare([{"prompt": "kick", "seconds_start": 0.0, "seconds_total": 1.0}])
    )
    model.transformer(x, torch.tensor([0.5]), conditioning).square().sum().backward()
    gradients = [parameter.grad for parameter in model.transformer.parameters()]
    model.zero_grad()
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients)

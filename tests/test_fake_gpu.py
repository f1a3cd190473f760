"""Sampling, encoding and decoding ask no device for a value, and MPS for no double precision."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open import generate
from stable_audio_open.diffusion import adapted_weights
from stable_audio_open.diffusion.adapted_weights import LoadedAdapter
from stable_audio_open.diffusion.samplers import sampler_names
from stable_audio_open.generate import generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn import device
from stable_audio_open.nn.low_rank import LowRank
from stable_audio_open.sampling import run_sampler
from tests.fake_gpu import GPU, NoWaiting, on_fake_gpu

ASKED: dict[str, Any] = {"duration": 0.3, "steps": 4, "seed": 1, "progress": False}
GUIDANCE: list[dict[str, Any]] = [
    {"guidance_scale": 1.0},
    {"guidance_rescale": 0.5},
    {"guidance_interval": (1.0, 100.0)},
    {"guidance_scale": [(1.0, 2.0), (100.0, 7.0)]},
    {"guidance_parallel": 0.0, "guidance_norm": 1.0, "guidance_momentum": 0.5},
    {"negative_prompt": [("hum", 1.0), ("hiss", 0.5)]},
]

pytestmark = pytest.mark.usefixtures("types_unchecked")


def sample_without_waiting(*args: Any, **options: Any) -> Tensor:
    with NoWaiting():
        return run_sampler(*args, **options)


@pytest.fixture(autouse=True, params=["with doubles", "without"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that has float64, as those of CUDA, or has none, as MPS."""
    if request.param == "without":
        monkeypatch.setattr(device, "WITHOUT_DOUBLE", {GPU})
    # Memory cannot be pinned for a device that is not here.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(generate, "run_sampler", sample_without_waiting)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", sampler_names())
def test_every_sampler(random_model: LatentDiffusion, sampler: str) -> None:
    with on_fake_gpu(random_model) as model:
        latents = generate_latents(model, ["kick", "bell"], sampler=sampler, **ASKED).latents
    assert (latents.device.type, latents.dtype) == (GPU, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("options", GUIDANCE, ids=str)
def test_every_guidance(random_model: LatentDiffusion, options: dict[str, Any]) -> None:
    with on_fake_gpu(random_model) as model:
        latents = generate_latents(model, "kick", **ASKED, **options).latents
    assert latents.device.type == GPU


def test_a_flow(random_flow: LatentDiffusion) -> None:
    with on_fake_gpu(random_flow) as model:
        latents = generate_latents(
            model, "kick", conditions={"bpm": 120}, **ASKED, sampler="ping-pong"
        ).latents
    assert latents.device.type == GPU


@pytest.mark.parametrize("is_dora", [False, True])
def test_adapters(
    random_model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch, is_dora: bool
) -> None:
    """They are read on the CPU; sums are asked for once when they are merged, and not at steps."""
    asked: list[int] = []
    monkeypatch.setattr(adapted_weights, "value_fault", lambda found: asked.append(len(found)))
    monkeypatch.setattr(adapted_weights, "_state", lambda weight: weight.dtype)  # no addresses
    layers = {
        name: LowRank(
            torch.ones(2, layer.in_features),
            torch.ones(layer.out_features, 2),
            0.5,
            torch.ones(layer.out_features) if is_dora else None,
        )
        for name, layer in random_model.transformer.named_modules()
        if isinstance(layer, torch.nn.Linear)
    }
    with on_fake_gpu(random_model) as model:
        model.adapter_set.load("a", LoadedAdapter(layers, folder="", digest=""))
        latents = generate_latents(
            model, "kick", **ASKED, adapters={"a": {"weight": 0.5, "interval": (10.0, 1000.0)}}
        ).latents
    assert latents.device.type == GPU
    assert asked == [len(layers)]


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [True, False])
def test_encoding_and_decoding(random_model: LatentDiffusion, chunked: bool) -> None:
    with on_fake_gpu(random_model) as model, torch.inference_mode():
        sound = torch.zeros(1, model.autoencoder.audio_channels, 8000, device=GPU)
        latents = model.autoencoder.encode(sound, chunked=chunked)
        assert latents.device.type == GPU
        assert model.autoencoder.decode(latents, chunked=chunked).device.type == GPU

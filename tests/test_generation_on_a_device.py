"""Generation on a CUDA device: what the CPU makes, but for rounding, and without waiting.

Random weights and few steps; where there is no such device the same runs on the CPU alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.guidance import guide
from stable_audio_open.diffusion.objective import process
from stable_audio_open.diffusion.samplers import StepNoise, get_sampler, sampler_names
from stable_audio_open.diffusion.schedule import polyexponential
from stable_audio_open.generate import generate, generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from tests.on_device import EXACT, distance, on, refusing_to_wait

ASKED: dict[str, Any] = {"duration": 0.3, "steps": 5, "seed": 1, "progress": False}
SHORT = {torch.bfloat16: 0.15, torch.float16: 0.03}
"""Relative distances in half precision from float32: guidance multiplies what is rounded."""

pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")


@pytest.mark.parametrize("sampler", sampler_names())
def test_every_sampler(random_model: LatentDiffusion, device: torch.device, sampler: str) -> None:
    wanted = generate_latents(random_model, ["kick", "bell"], sampler=sampler, **ASKED).latents
    model = on(device, random_model)
    found = generate_latents(model, ["kick", "bell"], sampler=sampler, **ASKED).latents
    assert (found.device.type, found.dtype) == (device.type, torch.float32)
    assert distance(found, wanted) < EXACT


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_rescale": 0.5},
        {"guidance_scale": [2.0, [(1.0, 2.0), (100.0, 7.0)]]},
        {"guidance_parallel": 0.0, "guidance_norm": 1.0, "guidance_momentum": 0.5},
        {"negative_prompt": [[("hum", 1.0), ("hiss", 0.5)], "hum"]},
    ],
    ids=str,
)
def test_guidance(
    random_model: LatentDiffusion, device: torch.device, options: dict[str, Any]
) -> None:
    asked = {**ASKED, **options}
    wanted = generate_latents(random_model, ["kick", "bell"], **asked).latents
    found = generate_latents(on(device, random_model), ["kick", "bell"], **asked).latents
    assert distance(found, wanted) < EXACT


def test_a_flow(random_flow: LatentDiffusion, device: torch.device) -> None:
    asked = ASKED | {"conditions": {"bpm": 120.0}, "sampler": "ping-pong"}
    wanted = generate_latents(random_flow, "kick", **asked).latents
    found = generate_latents(on(device, random_flow), "kick", **asked).latents
    assert distance(found, wanted) < EXACT


@pytest.mark.parametrize("dtype", SHORT, ids=str)
def test_half_precision(
    random_model: LatentDiffusion, device: torch.device, dtype: torch.dtype
) -> None:
    wanted = generate_latents(random_model, "kick", guidance_scale=3.0, **ASKED).latents
    model = on(device, random_model)
    model.transformer.to(dtype)
    found = generate_latents(model, "kick", guidance_scale=3.0, **ASKED).latents
    assert found.dtype == torch.float32
    assert distance(found, wanted) < SHORT[dtype]


def test_from_text_to_sound(random_model: LatentDiffusion, device: torch.device) -> None:
    wanted = generate(random_model, "kick", **ASKED)
    found = generate(on(device, random_model), "kick", **ASKED)
    assert found.samples.device.type == "cpu"
    assert distance(found.samples, wanted.samples) < EXACT


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("chunked", [True, False])
def test_decoding_and_encoding(
    random_model: LatentDiffusion,
    device: torch.device,
    dtype: torch.dtype,
    close: float,
    chunked: bool,
) -> None:
    random = torch.Generator().manual_seed(0)
    own = random_model.autoencoder
    latents = torch.randn(2, own.latent_channels, 200, generator=random)
    sound = torch.randn(2, own.audio_channels, 6000, generator=random) / 4
    there = on(device, own, dtype)
    with torch.inference_mode():
        decoded = there.decode(latents.to(device, dtype), chunked=chunked)
        encoded = there.encode(sound.to(device, dtype), chunked=chunked)
        assert distance(decoded, own.decode(latents)) < close
        assert distance(encoded, own.encode(sound)) < close


Run = Callable[[], Tensor]


def sampling(model: LatentDiffusion, name: str) -> Run:
    """A run of a sampler, all of whose steps are prepared."""
    own, frames, seeds = process(model.objective), 60, [1, 2]
    sigmas = polyexponential(5, 0.3, 100.0)
    shape = model.autoencoder.latent_channels, frames
    conditioning = model.conditioner(
        model.conditioner.prepare(
            [
                {"prompt": text, "seconds_start": 0.0, "seconds_total": 1.0}
                for text in ("kick", "bell")
            ]
        )
    )
    transformer = ConditionedTransformer(
        model.transformer,
        conditioning,
        negative=None,
        times=map(own.time, sigmas),
        frames=frames,
    )

    def velocity(x: Tensor, t: float) -> Tensor:
        return guide(*transformer.pair(x, t), scale=7.0)

    x = torch.ones((2, *shape), device=model.device) * sigmas[0]

    def run() -> Tensor:
        noise = StepNoise(seeds, shape, model.device)
        return get_sampler(name)(own.denoiser(velocity), x, sigmas, noise=noise)

    return run


@pytest.mark.parametrize("sampler", sampler_names())
@torch.inference_mode()
def test_no_step_waits(random_model: LatentDiffusion, device: torch.device, sampler: str) -> None:
    run = sampling(on(device, random_model), sampler)
    wanted = run()  # what libraries do once
    with refusing_to_wait(device):
        found = run()
    assert distance(found, wanted) < EXACT


@contextmanager
def captured(run: Run, device: torch.device) -> Iterator[Run]:
    """What a CUDA graph of a call gives when it is replayed; on the CPU the call itself."""
    if device.type != "cuda":
        yield run
        return
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()

    def replay() -> Tensor:
        graph.replay()
        return result

    yield replay


@torch.inference_mode()
def test_a_guided_step_can_be_captured(random_model: LatentDiffusion, device: torch.device) -> None:
    model, frames, t = on(device, random_model), 60, 0.5
    prompts = [{"prompt": "kick", "seconds_start": 0.0, "seconds_total": 1.0}]
    conditioning = model.conditioner(model.conditioner.prepare(prompts))
    transformer = ConditionedTransformer(
        model.transformer, conditioning, negative=None, times=[t], frames=frames
    )
    random = torch.Generator().manual_seed(0)
    shape = 1, model.autoencoder.latent_channels, frames
    first, second = (torch.randn(shape, generator=random).to(device) for _ in range(2))
    x = first.clone()

    def step() -> Tensor:
        return guide(*transformer.pair(x, t), scale=7.0)

    with captured(step, device) as replay:
        for latents in (first, second):
            x.copy_(latents)
            assert distance(replay(), step()) < EXACT

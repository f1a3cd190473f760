"""Behaviours 15 and 16: the v-objective, the denoiser that samplers call, and the noise levels."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open import generate as story
from stable_audio_open import sampling
from stable_audio_open.diffusion.denoiser import VDenoiser
from stable_audio_open.diffusion.objective import TimestepSampler, noise_latents
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.diffusion.schedule import polyexponential
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.request.sampling_settings import resolve_sampling

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_15_noised_latents_and_velocity_are_their_formulas() -> None:
    x, eps = normal(4, 3, 5), normal(4, 3, 5, seed=1)
    times = [0.0, 0.3, 0.75, 1.0]
    noised = noise_latents(x, eps, torch.tensor(times, dtype=torch.float64))
    for i, t in enumerate(times):
        alpha, sigma = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
        torch.testing.assert_close(noised.x[i], alpha * x[i] + sigma * eps[i])
        torch.testing.assert_close(noised.velocity[i], alpha * eps[i] - sigma * x[i])


@pytest.mark.parametrize("count", [2, 16, 256])
def test_15_timesteps_are_a_scrambled_sobol_sequence(count: int) -> None:
    # Any 2^k numbers of such a sequence in a row, from a multiple of 2^k, share out 0..1 evenly.
    sampler = TimestepSampler(seed=3)
    for _ in range(3):
        cells = sorted((sampler.draw(count) * count).long().tolist())
        assert cells == list(range(count))
    first = [float(TimestepSampler(seed=seed).draw(1)) for seed in range(20)]
    assert len(set(first)) == 20
    assert min(first) < 0.2
    assert max(first) > 0.8


def test_16_denoiser_is_its_formula() -> None:
    x = normal(2, 3, 5)
    asked: list[tuple[Tensor, float]] = []

    def velocity(z: Tensor, t: float) -> Tensor:
        asked.append((z, t))
        return torch.sin(7 * z) + t

    for sigma in (0.01, 0.3, 1.0, 37.0, 500.0):
        found = VDenoiser(velocity)(sigma * x, sigma)
        (z, t) = asked.pop()
        c_skip = 1 / (sigma**2 + 1)
        c_out = -sigma / math.sqrt(sigma**2 + 1)
        c_in = 1 / math.sqrt(sigma**2 + 1)
        torch.testing.assert_close(z, c_in * sigma * x)
        assert t == pytest.approx(math.atan(sigma) * 2 / math.pi)
        torch.testing.assert_close(found, c_skip * sigma * x + c_out * (torch.sin(7 * z) + t))


def test_16_noise_levels_are_their_formula_then_0() -> None:
    for n, low, high, rho in ((100, 0.3, 500.0, 1.0), (7, 0.01, 80.0, 2.5)):
        ramp = torch.linspace(1, 0, n, dtype=torch.float64) ** rho
        expected = (ramp * (math.log(high) - math.log(low)) + math.log(low)).exp().tolist()
        assert polyexponential(n, low, high, rho) == pytest.approx([*expected, 0.0])


def test_16_generation_starts_from_noise_of_sigma_max(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Tensor, Sequence[float]]] = []

    def stay(_: Any, x: Tensor, sigmas: Sequence[float], **__: Any) -> Tensor:
        started.append((x, sigmas))
        return x / sigmas[0]

    monkeypatch.setattr(sampling, "get_sampler", lambda name: stay)
    model = load(tiny_model_folder)
    assert isinstance(model, StableAudio)
    story.generate(model, ["kick", "bell"], seed=5, progress=False)
    ((x, sigmas),) = started
    assert sigmas == pytest.approx(polyexponential(100, 0.3, 500.0))
    torch.testing.assert_close(x, 500 * initial_noise((8, 500), [5, 6]))
    assert float(x.std()) == pytest.approx(500, rel=0.05)


def test_16_defaults_are_those_of_the_paper(random_model: LatentDiffusion) -> None:
    found = resolve_sampling(random_model, {})
    assert (found.sampler, found.schedule, found.steps) == ("dpmpp-2m", "polyexponential", 100)
    assert (found.guidance_scale, found.sigma_min, found.sigma_max) == (7.0, 0.3, 500.0)

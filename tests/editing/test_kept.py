"""A part of the latents is kept while the rest is generated: closed forms, and every sampler."""

import importlib.util
import math

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.samplers import (
    StepNoise,
    get_sampler,
    initial_noise,
    sampler_names,
)
from stable_audio_open.diffusion.samplers.resampling import Resampling, resampled
from stable_audio_open.diffusion.schedule import log_snr, polyexponential
from stable_audio_open.editing.kept import KeptDenoiser

pytestmark = pytest.mark.numerical

K_DIFFUSION = (
    ["k-diffusion:dpmpp_2m", "k-diffusion:lms", "k-diffusion:dpmpp_3m_sde", "k-diffusion:dpm_fast"]
    if importlib.util.find_spec("k_diffusion")
    else []
)
FRAMES = 120
CORRELATION = 0.95
KEPT = torch.ones(1, 1, FRAMES)
KEPT[..., 40:80] = 0
SIGMAS = polyexponential(40, 0.02, 80.0)


def ar_covariance() -> Tensor:
    """Of latents whose neighbours are alike."""
    frames = torch.arange(FRAMES, dtype=torch.float64)
    return CORRELATION ** (frames[:, None] - frames).abs()


COVARIANCE = ar_covariance()
EIGENVALUES, EIGENVECTORS = torch.linalg.eigh(COVARIANCE)


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Exact for data from N(0, COVARIANCE) in every channel."""
    if sigma == math.inf:
        return torch.zeros_like(x)
    shrunk = EIGENVECTORS * (EIGENVALUES / (EIGENVALUES + sigma**2)) @ EIGENVECTORS.T
    return (x.double() @ shrunk).to(x.dtype)


def latents(seed: int, items: int = 2) -> Tensor:
    noise = initial_noise((4, FRAMES), list(range(seed, seed + items))).double()
    return noise @ torch.linalg.cholesky(COVARIANCE).T


def sampled(name: str, known: KeptDenoiser, sigmas: list[float], *, times: int = 1) -> Tensor:
    seeds = [5, 6]
    noise = initial_noise((4, FRAMES), seeds).double()
    sampler = resampled(get_sampler(name), Resampling(times=times, piece=8))
    step_noise = StepNoise(seeds, (4, FRAMES))
    return known.project(sampler(known, known.start(noise, sigmas[0]), sigmas, noise=step_noise))


@pytest.mark.parametrize("name", [*sampler_names(), *K_DIFFUSION])
@pytest.mark.parametrize("times", [1, 2])
def test_every_sampler_returns_what_is_kept(name: str, times: int) -> None:
    z = latents(1)
    known = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=KEPT)
    found = sampled(name, known, SIGMAS, times=times)
    torch.testing.assert_close(found * KEPT, z * KEPT)
    # What is generated goes on at the edges: an unrelated sound would be 2 apart.
    for inside, beside in ((40, 39), (79, 80)):
        assert float((found[..., inside] - found[..., beside]).square().mean()) < 1


@pytest.mark.parametrize("name", ["dpmpp-2m", "dpmpp-3m-sde", "euler", "ping-pong", "rk4"])
def test_flows_begin_at_the_noise_alone(name: str) -> None:
    z = latents(1)
    known = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=KEPT)
    noise = initial_noise((4, FRAMES), [5, 6]).double()
    assert torch.equal(known.start(noise, math.inf), noise)
    found = sampled(name, known, log_snr(20))
    torch.testing.assert_close(found * KEPT, z * KEPT)
    assert float((found[..., 40] - found[..., 39]).square().mean()) < 1


@pytest.mark.parametrize("times", [1, 4])
def test_what_is_generated_goes_on_from_what_is_kept(times: int) -> None:
    """Neighbours at the edges are as alike as anywhere else, and more so with resampling."""
    z = latents(1, items=2)
    known = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=KEPT)
    found = sampled("dpmpp-2m", known, SIGMAS, times=times)
    step = float((found[..., 40] - found[..., 39]).square().mean())
    usual = 2 * (1 - CORRELATION)
    apart = float((latents(9) - z)[..., 39].square().mean())
    assert step < (6 if times == 1 else 3) * usual < apart


def test_a_mask_of_zeros_is_the_denoiser_and_of_ones_is_the_latents() -> None:
    z, x = latents(1), latents(3)
    none = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=torch.zeros(1, 1, FRAMES))
    assert torch.equal(none(x, 2.0), gaussian_denoiser(x, 2.0))
    everything = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=torch.ones(1, 1, FRAMES))
    assert torch.equal(everything(x, 2.0), z)


def test_latents_are_released_at_their_level() -> None:
    z, x = latents(1), latents(3)
    known = KeptDenoiser(
        denoiser=gaussian_denoiser,
        latents=z,
        kept=KEPT,
        released=torch.zeros_like(KEPT),
        release=0.5,
    )
    assert torch.equal(known(x, 0.6)[..., :40], z[..., :40])
    assert torch.equal(known(x, 0.5), gaussian_denoiser(x, 0.5))


def test_one_sound_is_kept_in_all_items() -> None:
    z = latents(1, items=1)
    known = KeptDenoiser(denoiser=gaussian_denoiser, latents=z, kept=KEPT)
    found = sampled("dpmpp-2m", known, SIGMAS)
    assert found.shape == (2, 4, FRAMES)
    torch.testing.assert_close(found[1] * KEPT[0], z[0] * KEPT[0], atol=1e-6, rtol=1e-6)

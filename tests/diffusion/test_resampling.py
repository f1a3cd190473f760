"""Runs over a piece of the noise levels, and pieces that are gone through several times."""

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
from stable_audio_open.diffusion.schedule import polyexponential

pytestmark = pytest.mark.numerical

HAS_K_DIFFUSION = importlib.util.find_spec("k_diffusion") is not None
K_DIFFUSION = ["euler", "lms", "dpmpp_2m", "dpmpp_3m_sde", "dpm_2", "dpm_fast", "dpm_adaptive"]
OF_ONE_STEP = ["euler", "heun", "ddim", "rk4", "ping-pong"]
MEAN, STD = 0.3, 0.5
SHAPE = (4, 500)
SIGMAS = polyexponential(24, 0.05, 50.0)


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Exact for data from N(MEAN, STD^2)."""
    if sigma == math.inf:
        return torch.full_like(x, MEAN)
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def start(sigma: float, *, items: int = 2) -> Tensor:
    """X at a level, of data from N(MEAN, STD^2)."""
    noise = initial_noise(SHAPE, list(range(items))).double()
    return noise if sigma == math.inf else MEAN + math.hypot(STD, sigma) * noise


def names() -> list[str]:
    theirs = [f"k-diffusion:{name}" for name in K_DIFFUSION] if HAS_K_DIFFUSION else []
    return [*sampler_names(), *theirs]


@pytest.mark.parametrize("name", names())
def test_a_run_that_ends_above_0_returns_the_state_there(name: str) -> None:
    """Its spread is that of data and noise at the last level."""
    items = 1 if name.endswith("adaptive") else 2
    x = start(20.0, items=items)
    sigmas = [20.0 * 0.7**i for i in range(12)]
    noise = StepNoise(list(range(items)), SHAPE)
    found = get_sampler(name)(gaussian_denoiser, x, sigmas, noise=noise)
    wanted = math.hypot(STD, sigmas[-1])
    # Ping-pong's x0 is consistent for other models than a Gaussian's, and has less spread here.
    assert float(found.std()) == pytest.approx(wanted, rel=0.3 if name == "ping-pong" else 0.12)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.1)


@pytest.mark.parametrize("name", OF_ONE_STEP)
def test_two_runs_over_the_pieces_equal_one_over_all(name: str) -> None:
    sampler, whole, parts = get_sampler(name), StepNoise([0, 1], SHAPE), StepNoise([0, 1], SHAPE)
    x = start(SIGMAS[0])
    middle = sampler(gaussian_denoiser, x, SIGMAS[:9], noise=parts)
    found = sampler(gaussian_denoiser, middle, SIGMAS[8:], noise=parts)
    torch.testing.assert_close(found, sampler(gaussian_denoiser, x, SIGMAS, noise=whole))


@pytest.mark.parametrize("name", sampler_names())
def test_one_step_from_pure_noise_to_above_0(name: str) -> None:
    x = start(math.inf)
    noise = StepNoise([0, 1], SHAPE)
    found = get_sampler(name)(gaussian_denoiser, x, [math.inf, 40.0], noise=noise)
    assert float(found.std()) == pytest.approx(40.0, rel=0.1)


@pytest.mark.parametrize("name", names())
def test_resampling_keeps_the_distribution(name: str) -> None:
    """Of a Gaussian, in closed form: however often pieces are repeated, its spread comes out."""
    items = 1 if name.endswith("adaptive") else 2
    sampler = resampled(get_sampler(name), Resampling(times=3, piece=6))
    noise = StepNoise(list(range(items)), SHAPE)
    found = sampler(gaussian_denoiser, start(SIGMAS[0], items=items), SIGMAS, noise=noise)
    # Ping-pong keeps what is consistent, and a Gaussian's denoiser is not: it loses spread.
    if name != "ping-pong":
        assert float(found.std()) == pytest.approx(STD, rel=0.15)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.1)


def test_the_noise_between_two_times_has_the_missing_variance() -> None:
    """With a piece that leaves the state alone, what is added is all that changes."""
    levels: list[float] = []

    def watched(x: Tensor, sigma: float) -> Tensor:
        levels.append(float((x - MEAN).square().mean()) - STD**2 - sigma**2)
        return gaussian_denoiser(x, sigma)

    sampler = resampled(get_sampler("heun"), Resampling(times=4, piece=5))
    sampler(
        watched, start(3.0), polyexponential(200, 0.1, 3.0)[::10], noise=StepNoise([0, 1], SHAPE)
    )
    assert max(map(abs, levels)) < 0.9


def test_each_time_is_a_run_of_its_own_from_its_noise() -> None:
    """Two times over one piece, written out; the second begins without a history."""
    sampler, noise = get_sampler("dpmpp-2m"), StepNoise([0, 1], SHAPE)
    x = start(SIGMAS[0])
    first = sampler(gaussian_denoiser, x, SIGMAS)
    again = first + SIGMAS[0] * noise(0.0, SIGMAS[0])
    wanted = sampler(gaussian_denoiser, again, SIGMAS)
    found = resampled(sampler, Resampling(times=2, piece=100))(
        gaussian_denoiser, x, SIGMAS, noise=StepNoise([0, 1], SHAPE)
    )
    torch.testing.assert_close(found, wanted)


def test_once_is_the_sampler_itself() -> None:
    sampler = get_sampler("dpmpp-2m")
    assert resampled(sampler, Resampling(times=1, piece=3)) is sampler


def test_pieces_in_their_order() -> None:
    resampling = Resampling(times=2, piece=2)
    levels = [4.0, 3.0, 2.0, 1.0, 0.0]
    assert resampling.pieces(levels) == [[4, 3, 2], [4, 3, 2], [2, 1, 0], [2, 1, 0]]
    assert resampling.pieces([math.inf, *levels[2:]]) == [[math.inf, 2, 1], [1, 0], [1, 0]]
    assert resampling.steps(levels) == 8
    assert Resampling().steps(levels) == 4


def test_the_callback_counts_all_steps() -> None:
    seen: list[tuple[int, int]] = []
    sampler = resampled(get_sampler("euler"), Resampling(times=3, piece=5))
    sampler(
        gaussian_denoiser,
        start(SIGMAS[0]),
        SIGMAS,
        noise=StepNoise([0, 1], SHAPE),
        callback=lambda step, steps, x0: seen.append((step, steps)),
    )
    assert seen == [(step, 72) for step in range(72)]


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="resampling must be at least 1, got 0"):
        Resampling(times=0)
    with pytest.raises(ValueError, match="steps of a piece must be at least 1, got 0"):
        Resampling(piece=0)
    with pytest.raises(ValueError, match="adds noise at every step"):
        resampled(get_sampler("euler"), Resampling(times=2))(
            gaussian_denoiser, start(SIGMAS[0]), SIGMAS
        )

"""Training examples of flows, and the distributions of their timesteps."""

import math

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.objective import (
    Timesteps,
    TimestepSampler,
    noise_latents,
    process,
)
from stable_audio_open.diffusion.timestep_shift import TimestepShift

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("objective", ["rectified_flow", "rf_denoiser"])
def test_flows_go_straight_from_latents_to_noise(objective: str) -> None:
    x, noise = normal(3, 4, 5, seed=0), normal(3, 4, 5, seed=1)
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    found = noise_latents(x, noise, t, objective)  # type: ignore[arg-type]
    assert torch.equal(found.x[0], x[0])
    assert torch.equal(found.x[2], noise[2])
    torch.testing.assert_close(found.x[1], 0.7 * x[1] + 0.3 * noise[1])
    # The velocity is the path's derivative by t, and leads back to both ends.
    h = 1e-3
    ahead = noise_latents(x, noise, t - h, objective).x  # type: ignore[arg-type]
    torch.testing.assert_close((found.x - ahead) / h, found.velocity)
    torch.testing.assert_close(found.x - t[:, None, None] * found.velocity, x)


@pytest.mark.parametrize("objective", ["v", "rectified_flow", "rf_denoiser"])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.93])
def test_what_is_learnt_is_what_the_denoiser_makes_use_of(objective: str, t: float) -> None:
    x, noise = normal(2, 4, 5, seed=0), normal(2, 4, 5, seed=1)
    own = process(objective)  # type: ignore[arg-type]
    example = noise_latents(
        x,
        noise,
        torch.full((2,), t, dtype=torch.float64),
        objective,  # type: ignore[arg-type]
    )

    def velocity(x_t: Tensor, told: float) -> Tensor:
        assert told == pytest.approx(t)
        torch.testing.assert_close(x_t, example.x)
        return example.velocity

    sigma = own.sigma(t)
    assert own.time(sigma) == pytest.approx(t)
    torch.testing.assert_close(own.denoiser(velocity)(x + sigma * noise, sigma), x)


# Timesteps.

DISTRIBUTIONS: tuple[Timesteps, ...] = ("sobol", "uniform", "logit_normal", "log_snr")


def quantile(distribution: Timesteps, share: float) -> float:
    if distribution == "log_snr":
        return 1 / (1 + math.exp(2 - 8 * share))
    if distribution != "logit_normal":
        return share
    return torch.special.ndtri(torch.tensor(share, dtype=torch.float64)).sigmoid().item()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_timesteps_have_their_distribution(distribution: Timesteps) -> None:
    t = TimestepSampler(seed=1, distribution=distribution).draw(16384)
    assert t.dtype == torch.float32
    assert (t >= 0).all()
    assert (t <= 1).all()
    for share in (0.05, 0.25, 0.5, 0.8, 0.99):
        below = (t < quantile(distribution, share)).float().mean().item()
        spread = math.sqrt(share * (1 - share) / 16384)
        assert below == pytest.approx(share, abs=5 * spread)


def unevenness(t: Tensor) -> float:
    """Chi-squared over 16 cells, over its expectation for independent draws."""
    counts = torch.histc(t, bins=16, min=0, max=1)
    expected = len(t) / 16
    return float(((counts - expected) ** 2 / expected).sum() / 15)


def test_sobol_spreads_every_batch_and_independent_draws_do_not() -> None:
    sobol, uniform = (TimestepSampler(seed=2, distribution=d) for d in ("sobol", "uniform"))
    assert sum(unevenness(sobol.draw(64)) for _ in range(20)) / 20 < 0.1
    assert 0.6 < sum(unevenness(uniform.draw(64)) for _ in range(20)) / 20 < 1.4


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_sequence_goes_on_where_it_stopped(distribution: Timesteps) -> None:
    whole = TimestepSampler(seed=3, distribution=distribution)
    batches = [whole.draw(6) for _ in range(4)]
    assert whole.state() == 24
    again = TimestepSampler(seed=3, distribution=distribution)
    again.restore(12)
    assert torch.equal(again.draw(6), batches[2])
    assert torch.equal(again.draw(6), batches[3])
    assert len({float(one) for batch in batches for one in batch}) == 24


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_seeds_give_other_timesteps(distribution: Timesteps) -> None:
    first = [TimestepSampler(seed=seed, distribution=distribution).draw(1) for seed in range(20)]
    assert len({float(one) for one in first}) == 20


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown distribution of timesteps 'normal'; choose from"):
        TimestepSampler(seed=0, distribution="normal")


# The shift.


@pytest.mark.parametrize("frames", [64, 256, 1000, 4096, 8192])
@pytest.mark.parametrize("use_sine", [False, True])
def test_the_shift_is_the_published_formula(frames: int, use_sine: bool) -> None:
    shift = TimestepShift(use_sine=use_sine)
    mu = 0.5 + (1.15 - 0.5) * (frames - 256) / (4096 - 256)
    assert shift.mu(frames) == pytest.approx(mu)
    for t in (0.01, 0.3, 0.77, 0.999):
        expected = 1 - math.exp(-mu) / (math.exp(-mu) + (1 / (1 - t) - 1))
        if use_sine:
            expected = math.sin(math.pi * expected / 2)
        assert shift.time(t, frames) == pytest.approx(expected)
        assert shift.inverse(shift.time(t, frames), frames) == pytest.approx(t)
        drawn = shift.times(torch.tensor([t], dtype=torch.float64), frames)
        assert float(drawn) == pytest.approx(expected)
    assert (shift.time(0, frames), shift.time(1, frames)) == (0, 1)
    ends = shift.times(torch.tensor([0.0, 1.0]), frames)
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0]))


def test_mu_runs_between_its_ends() -> None:
    shift = TimestepShift(base_shift=0.2, max_shift=2.0, min_length=100, max_length=500)
    assert [shift.mu(n) for n in (100, 300, 500)] == pytest.approx([0.2, 1.1, 2.0])

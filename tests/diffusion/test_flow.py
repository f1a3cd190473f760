"""Rectified flows: denoiser, grids and samplers, against closed forms and the formulas in t."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.denoiser import FlowDenoiser, VDenoiser, noised
from stable_audio_open.diffusion.samplers import (
    StepNoise,
    get_sampler,
    initial_noise,
    sampler_names,
)
from stable_audio_open.diffusion.schedule import (
    flow_time_from_sigma,
    linear,
    log_snr,
    polyexponential,
    sigma_from_flow_time,
    sigma_from_time,
    time_from_sigma,
)

pytestmark = pytest.mark.numerical

SHAPE = (4, 16)
MEAN, STD = 0.3, 0.5
SIGMAS = [1e-4, 0.3, 1.0, 80.0, 500.0]


def gaussian_velocity(x_t: Tensor, t: float) -> Tensor:
    """The expected noise - x0 given x_t = (1 - t) x0 + t noise, for data from N(MEAN, STD^2)."""
    variance = ((1 - t) * STD) ** 2 + t**2
    centred = (x_t - (1 - t) * MEAN) / variance
    return t * centred - (MEAN + (1 - t) * STD**2 * centred)


def convolving_velocity(x_t: Tensor, t: float) -> Tensor:
    """Nonlinear, it mixes channels and time, and it is told t."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(x_t.shape[1], x_t.shape[1], 3, generator=generator).to(x_t) / 4
    return torch.nn.functional.conv1d((x_t + t).tanh(), weight, padding=1)


def pure_noise(seeds: list[int]) -> Tensor:
    return initial_noise(SHAPE, seeds).double()


def published_grid(steps: int, start: float = 1.0) -> Tensor:
    """The times of the published flows, written down independently."""
    begin = -6.0 if start == 1 else math.log((1 - start) / start)
    t = (-torch.linspace(begin, 2, steps + 1, dtype=torch.float64)).sigmoid()
    t[0], t[-1] = start, 0
    return t


# The denoiser.


@pytest.mark.parametrize("sigma", SIGMAS)
def test_any_gaussian_data_has_the_closed_form_denoiser(sigma: float) -> None:
    x = MEAN + sigma * pure_noise([0, 1])
    expected = (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)
    torch.testing.assert_close(FlowDenoiser(gaussian_velocity)(x, sigma), expected)


@pytest.mark.parametrize("sigma", [*SIGMAS, math.inf])
def test_the_model_gets_the_flows_own_variables(sigma: float) -> None:
    x0, noise = pure_noise([2]), pure_noise([3])
    t = 1.0 if sigma == math.inf else sigma / (1 + sigma)

    def velocity(x_t: Tensor, told: float) -> Tensor:
        assert told == t
        torch.testing.assert_close(x_t, (1 - t) * x0 + t * noise)
        return noise - x0

    found = FlowDenoiser(velocity)(noised(x0, noise, sigma), sigma)
    torch.testing.assert_close(found, x0, atol=1e-9, rtol=0)


def test_v_models_take_pure_noise_too() -> None:
    x0, noise = pure_noise([2]), pure_noise([3])

    def velocity(x_t: Tensor, t: float) -> Tensor:
        assert t == 1
        assert torch.equal(x_t, noise)
        return -x0

    assert torch.equal(VDenoiser(velocity)(noised(x0, noise, math.inf), math.inf), x0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_state_in_half_precision_is_refused(dtype: torch.dtype) -> None:
    denoiser = FlowDenoiser(gaussian_velocity)
    with pytest.raises(ValueError, match=f"must be torch.float32, got {dtype}"):
        denoiser(pure_noise([0]).to(dtype), 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_answer_of_a_half_precision_model_is_used_in_float32(dtype: torch.dtype) -> None:
    v = pure_noise([0]).to(dtype)
    found = FlowDenoiser(lambda x, t: v)(torch.zeros(1, *SHAPE), 3.0)
    torch.testing.assert_close(found, -0.75 * v.float())


# Times and grids.


@pytest.mark.parametrize("sigma", [0.0, *SIGMAS, math.inf])
def test_times_and_noise_levels_belong_together(sigma: float) -> None:
    assert sigma_from_flow_time(flow_time_from_sigma(sigma)) == pytest.approx(sigma)
    assert sigma_from_time(time_from_sigma(sigma)) == pytest.approx(sigma)


@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_the_grid_is_the_published_one(steps: int) -> None:
    found = [flow_time_from_sigma(sigma) for sigma in log_snr(steps)]
    assert found[0] == 1
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), published_grid(steps))


@pytest.mark.parametrize("start", [0.3, 0.5, 0.9])
def test_a_variation_begins_at_its_time_on_a_grid_of_all_steps(start: float) -> None:
    sigmas = log_snr(8, sigma_max=sigma_from_flow_time(start))
    found = torch.tensor([flow_time_from_sigma(s) for s in sigmas], dtype=torch.float64)
    torch.testing.assert_close(found, published_grid(8, start))


@pytest.mark.parametrize("start", [0.001, 0.05, 0.119, 0.25])
def test_a_small_variation_still_falls(start: float) -> None:
    sigmas = log_snr(8, sigma_max=sigma_from_flow_time(start))
    assert len(sigmas) == 9
    assert all(after < sigma for sigma, after in itertools.pairwise(sigmas))
    assert (sigmas[0], sigmas[-1]) == (sigma_from_flow_time(start), 0)


@pytest.mark.parametrize("start", [1.0, 0.4])
def test_linear_times(start: float) -> None:
    sigmas = linear(5, sigma_from_flow_time(start))
    found = [flow_time_from_sigma(sigma) for sigma in sigmas]
    assert found == pytest.approx([start * (1 - i / 5) for i in range(6)])


@pytest.mark.parametrize("schedule", [log_snr, linear])
def test_grids_check_their_arguments(schedule: Callable[..., list[float]]) -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        schedule(0)
    with pytest.raises(ValueError, match="sigma_max must be above 0, got -1"):
        schedule(5, sigma_max=-1.0)


def test_the_lowest_level_is_above_0() -> None:
    with pytest.raises(ValueError, match="sigma_min must be above 0 and finite, got 0"):
        log_snr(5, 0.0)


# Samplers, against the formulas in t.


def flow_steps(name: str, steps: int, noise: Tensor, fresh: StepNoise) -> Tensor:
    """The published samplers, written in x_t and t."""
    x, times = noise, published_grid(steps).tolist()
    x0_last, h_last = None, math.inf

    def lam(t: float) -> float:
        return math.inf if t == 0 else -math.inf if t == 1 else math.log((1 - t) / t)

    for t, t_next in itertools.pairwise(times):
        v = convolving_velocity(x, t)
        x0 = x - t * v
        if name == "euler":
            x = x + (t_next - t) * v
        elif name == "ping-pong":
            x = (1 - t_next) * x0
            if t_next > 0:
                x = x + t_next * fresh(0, 0)
        else:
            h = lam(t_next) - lam(t)
            slope = 0 if x0_last is None or t_next == 0 else h / (2 * h_last) * (x0 - x0_last)
            x = t_next / t * x - (1 - t_next) * math.expm1(-h) * (x0 + slope)
            x0_last, h_last = x0, h
    return x


@pytest.mark.parametrize("steps", [1, 2, 8, 20])
@pytest.mark.parametrize("name", ["euler", "dpmpp-2m", "ping-pong"])
def test_samplers_are_the_published_ones_of_flows(name: str, steps: int) -> None:
    noise = pure_noise([7, 8])
    found = get_sampler(name)(
        FlowDenoiser(convolving_velocity),
        noise,
        log_snr(steps),
        noise=StepNoise([7, 8], SHAPE),
    )
    torch.testing.assert_close(found, flow_steps(name, steps, noise, StepNoise([7, 8], SHAPE)))


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_rk4_is_the_classical_method_in_t(steps: int) -> None:
    def velocity(x: Tensor, t: float) -> Tensor:
        return convolving_velocity(x, t) if t > 0 else -x  # no noise is expected at 0

    noise = pure_noise([7])
    x = noise
    for t, t_next in itertools.pairwise(published_grid(steps).tolist()):
        h = t_next - t
        k1 = velocity(x, t)
        k2 = velocity(x + h / 2 * k1, t + h / 2)
        k3 = velocity(x + h / 2 * k2, t + h / 2)
        k4 = velocity(x + h * k3, t_next)
        x = x + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6
    found = get_sampler("rk4")(FlowDenoiser(convolving_velocity), noise, log_snr(steps))
    torch.testing.assert_close(found, x)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("rk4", 4)])
def test_from_pure_noise_the_error_falls_with_the_order_of_the_method(
    name: str, order: int
) -> None:
    noise = pure_noise([3])
    # The exact path of the ODE keeps (x - MEAN) / sqrt(STD^2 + sigma^2), which is the noise at 1.
    exact = MEAN + STD * noise

    def error(n: int) -> float:
        found = get_sampler(name)(FlowDenoiser(gaussian_velocity), noise, linear(n))
        return (found - exact).abs().max().item()

    assert math.log2(error(80) / error(160)) == pytest.approx(order, abs=0.2)
    assert error(160) < {1: 2e-2, 2: 1e-3, 4: 1e-7}[order]


def test_from_pure_noise_2m_is_of_second_order_in_log_sigma() -> None:
    noise, low = pure_noise([3]), 0.1
    path = MEAN + math.hypot(STD, low) * noise
    exact = FlowDenoiser(gaussian_velocity)(path, low)

    def error(n: int) -> float:
        sigmas = [math.inf, *polyexponential(n, low, 400.0)]
        found = get_sampler("dpmpp-2m")(FlowDenoiser(gaussian_velocity), noise, sigmas)
        return (found - exact).abs().max().item()

    assert math.log2(error(40) / error(80)) == pytest.approx(2, abs=0.15)
    assert error(80) < 1e-3


@pytest.mark.parametrize("name", [name for name in sampler_names() if name != "ping-pong"])
def test_pure_noise_ends_at_the_data(name: str) -> None:
    noise = initial_noise((64, 256), [11]).double()
    found = get_sampler(name)(
        FlowDenoiser(gaussian_velocity), noise, log_snr(200), noise=StepNoise([11], (64, 256))
    )
    # Five standard errors of 16,384 numbers, and 4 % for the finite steps.
    assert found.mean().item() == pytest.approx(MEAN, abs=5 * STD / 128 + 0.01)
    assert found.std().item() == pytest.approx(STD, abs=5 * STD / 181 + 0.04 * STD)


def test_ping_pong_keeps_a_consistent_models_data() -> None:
    # A consistency model maps every state of the path to its end.
    def consistent(x: Tensor, sigma: float) -> Tensor:
        centred = x if sigma == math.inf else (x - MEAN) / math.hypot(STD, sigma)
        return MEAN + STD * centred

    noise = initial_noise((64, 256), [11]).double()
    found = get_sampler("ping-pong")(
        consistent, noise, log_snr(8), noise=StepNoise([11], (64, 256))
    )
    assert found.mean().item() == pytest.approx(MEAN, abs=5 * STD / 128)
    assert found.std().item() == pytest.approx(STD, abs=5 * STD / 181)
    first = consistent(noise, math.inf)
    assert not torch.allclose(found, first, atol=0.1)


def test_ping_pong_asks_for_its_noise() -> None:
    with pytest.raises(ValueError, match='sampler "ping-pong" adds noise at every step: pass noi'):
        get_sampler("ping-pong")(FlowDenoiser(gaussian_velocity), pure_noise([1]), log_snr(2))


@pytest.mark.parametrize("name", sampler_names())
def test_every_sampler_tells_of_every_step_from_pure_noise_on(name: str) -> None:
    told: list[tuple[int, int]] = []
    seen: list[float] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return FlowDenoiser(gaussian_velocity)(x, sigma)

    get_sampler(name)(
        denoiser,
        pure_noise([1]),
        log_snr(5),
        noise=StepNoise([1], SHAPE),
        callback=lambda step, steps, _: told.append((step, steps)),
    )
    assert told == [(step, 5) for step in range(5)]
    assert seen[0] == math.inf
    assert all(sigma < math.inf for sigma in seen[1:])


@pytest.mark.parametrize("name", sampler_names())
def test_one_step_from_pure_noise(name: str) -> None:
    denoiser, noise = FlowDenoiser(convolving_velocity), pure_noise([4])
    found = get_sampler(name)(denoiser, noise, log_snr(1), noise=StepNoise([4], SHAPE))
    if name != "rk4":
        torch.testing.assert_close(found, denoiser(noise, math.inf))
    assert found.isfinite().all()


def test_k_diffusion_goes_on_from_pure_noise() -> None:
    pytest.importorskip("k_diffusion")
    noise = pure_noise([5])
    denoiser, sigmas = FlowDenoiser(convolving_velocity), log_snr(12)
    for theirs, ours in (("euler", "euler"), ("dpmpp_2m", "dpmpp-2m"), ("heun", "heun")):
        found = get_sampler(f"k-diffusion:{theirs}")(denoiser, noise, sigmas)
        torch.testing.assert_close(found, get_sampler(ours)(denoiser, noise, sigmas))

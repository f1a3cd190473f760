import itertools
import math
import re

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.samplers import (
    StepNoise,
    get_sampler,
    initial_noise,
    sampler_names,
)
from stable_audio_open.diffusion.samplers.dpmpp import dpmpp_2m
from stable_audio_open.diffusion.samplers.sde import dpmpp_2m_sde
from stable_audio_open.diffusion.schedule import karras, polyexponential, time_from_sigma

pytestmark = pytest.mark.numerical

SHAPE = (4, 16)
SIGMAS = polyexponential(20, 0.3, 500.0)
STOCHASTIC = ["dpmpp-2m-sde", "dpmpp-3m-sde", "ddim"]
# RK4's step to 0 is of fourth order too: it is not the denoiser alone.
ENDING_IN_X0 = [name for name in sampler_names() if name != "rk4"]
MEAN, STD = 0.3, 0.5


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Exact for data from N(MEAN, STD^2)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def convolving_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Nonlinear, and it mixes channels and time."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(x.shape[1], x.shape[1], 3, generator=generator).to(x) / 4
    z = x / math.hypot(sigma, 1)
    return torch.nn.functional.conv1d(z.tanh(), weight, padding=1)


def start(seeds: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    return SIGMAS[0] * initial_noise(SHAPE, seeds).to(dtype)


def sample(name: str, seeds: list[int], **keywords) -> Tensor:
    noise = StepNoise(seeds, SHAPE)
    return get_sampler(name)(convolving_denoiser, start(seeds), SIGMAS, noise=noise, **keywords)


def test_the_default_of_the_paper_is_there() -> None:
    names = [
        "dpmpp-2m",
        "dpmpp-2m-sde",
        "dpmpp-3m-sde",
        "euler",
        "heun",
        "rk4",
        "ddim",
        "ping-pong",
    ]
    assert sampler_names() == names


@pytest.mark.parametrize("name", ENDING_IN_X0)
def test_one_step_is_the_denoiser(name: str) -> None:
    x = start([1, 2])
    found = get_sampler(name)(convolving_denoiser, x, [500.0, 0.0])
    # Euler's step to 0 computes x - (x - x0): x0 up to the rounding of x, which is near 500.
    torch.testing.assert_close(found, convolving_denoiser(x, 500.0), atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", sampler_names())
def test_the_same_request_twice_is_bitwise_equal(name: str) -> None:
    assert torch.equal(sample(name, [5, 6]), sample(name, [5, 6]))


@pytest.mark.parametrize("name", sampler_names())
def test_an_item_of_a_batch_equals_the_same_request_alone(name: str) -> None:
    batch = sample(name, [5, 6, 7])
    for item, seed in zip(batch, [5, 6, 7], strict=True):
        torch.testing.assert_close(item[None], sample(name, [seed]))


@pytest.mark.parametrize("name", sampler_names())
def test_state_stays_in_float32(name: str) -> None:
    assert sample(name, [5]).dtype == torch.float32


@pytest.mark.parametrize("name", sampler_names())
def test_nothing_is_read_back_from_the_device(name: str) -> None:
    # A meta tensor has no values: reading one, as .item() or a branch would, raises.
    x = torch.zeros(2, *SHAPE, device="meta")
    noise = StepNoise([1, 2], SHAPE, "meta")
    found = get_sampler(name)(lambda x, sigma: x / (sigma**2 + 1), x, SIGMAS, noise=noise)
    assert found.shape == x.shape


@pytest.mark.parametrize("name", ENDING_IN_X0)
def test_callback_gets_every_step_with_its_denoised_latents(name: str) -> None:
    seen: list[tuple[int, int, Tensor]] = []
    found = sample(name, [5], callback=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(step, 20) for step in range(20)]
    torch.testing.assert_close(seen[0][2], convolving_denoiser(start([5]), SIGMAS[0]))
    torch.testing.assert_close(seen[-1][2], found)


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp-2m", 2)]
)
@pytest.mark.parametrize("schedule", [polyexponential, karras])
def test_error_falls_with_the_order_of_the_method(name: str, order: int, schedule) -> None:
    x = 20 * initial_noise(SHAPE, [3]).double()
    low, high = 0.1, 20.0
    # The exact path of the ODE keeps (x - MEAN) / sqrt(STD^2 + sigma^2); the step from the lowest
    # level to 0 is the denoiser in every method.
    shrink = math.sqrt((STD**2 + low**2) / (STD**2 + high**2))
    exact = gaussian_denoiser(MEAN + shrink * (x - MEAN), low)

    def error(n: int) -> float:
        found = get_sampler(name)(gaussian_denoiser, x, schedule(n, low, high))
        return (found - exact).abs().max().item()

    assert math.log2(error(81) / error(161)) == pytest.approx(order, abs=0.15)
    assert error(161) < {1: 2e-2, 2: 1e-3}[order]


@pytest.mark.parametrize("name", ["dpmpp-2m-sde", "dpmpp-3m-sde"])
def test_sde_without_noise_solves_the_ode_to_second_order_or_better(name: str) -> None:
    x = 20 * initial_noise(SHAPE, [3]).double()
    shrink = math.sqrt((STD**2 + 0.01) / (STD**2 + 400))
    exact = gaussian_denoiser(MEAN + shrink * (x - MEAN), 0.1)

    def error(n: int) -> float:
        sigmas = polyexponential(n, 0.1, 20.0)
        found = get_sampler(name)(gaussian_denoiser, x, sigmas, eta=0.0)
        return (found - exact).abs().max().item()

    assert math.log2(error(81) / error(161)) > 1.85


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_fresh_noise_keeps_the_distribution_of_the_data(name: str, eta: float) -> None:
    shape, sigmas = (64, 512), polyexponential(200, 0.01, 80.0)
    x = MEAN + sigmas[0] * initial_noise(shape, [11])
    noise = StepNoise([11], shape)
    found = get_sampler(name)(gaussian_denoiser, x, sigmas, noise=noise, eta=eta)
    # Five standard errors of 32,768 numbers, plus 1 % for the finite steps.
    assert found.mean().item() == pytest.approx(MEAN, abs=5 * STD / 181 + 0.01)
    assert found.std().item() == pytest.approx(STD, abs=5 * STD / 256 + 0.01 * STD)
    assert not torch.allclose(found, sample_ode(x, sigmas), atol=0.1)


def sample_ode(x: Tensor, sigmas: list[float]) -> Tensor:
    return get_sampler("euler")(gaussian_denoiser, x, sigmas)


def test_2m_sde_without_noise_is_2m() -> None:
    x = start([4], torch.float64)
    ode = dpmpp_2m(convolving_denoiser, x, SIGMAS)
    torch.testing.assert_close(dpmpp_2m_sde(convolving_denoiser, x, SIGMAS, eta=0.0), ode)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_the_plain_formula_in_alpha_and_sigma(eta: float) -> None:
    x = start([4], torch.float64)
    noise, same_noise = StepNoise([4], SHAPE), StepNoise([4], SHAPE)
    angles = [math.pi / 2 * time_from_sigma(sigma) for sigma in SIGMAS]
    z = math.cos(angles[0]) * x
    for t, s in itertools.pairwise(angles):
        a_t, b_t, a_s, b_s = math.cos(t), math.sin(t), math.cos(s), math.sin(s)
        x0 = convolving_denoiser(z / a_t, b_t / a_t)
        eps = (z - a_t * x0) / b_t
        w = eta * b_s / b_t * math.sqrt(1 - a_t**2 / a_s**2)
        z = a_s * x0 + math.sqrt(b_s**2 - w**2) * eps
        if s > 0:
            z = z + w * same_noise(t, s)
    found = get_sampler("ddim")(convolving_denoiser, x, SIGMAS, noise=noise, eta=eta)
    torch.testing.assert_close(found, z)


def test_deterministic_ddim_is_euler() -> None:
    x = start([4], torch.float64)
    found = get_sampler("ddim")(convolving_denoiser, x, SIGMAS)
    assert torch.equal(found, get_sampler("euler")(convolving_denoiser, x, SIGMAS))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_stochastic_sampler_asks_for_its_noise(name: str) -> None:
    with pytest.raises(ValueError, match=f'sampler "{name}" adds noise at every step: pass noise='):
        get_sampler(name)(convolving_denoiser, start([1]), SIGMAS, eta=1.0)
    without = get_sampler(name)(convolving_denoiser, start([1]), SIGMAS, eta=1.0, s_noise=0.0)
    assert without.isfinite().all()


@pytest.mark.parametrize("name", sampler_names())
@pytest.mark.parametrize(
    "sigmas",
    [[], [1.0], [1.0, 2.0, 0.0], [2.0, 2.0, 0.0], [math.nan, 0.0], [1.0, -1.0], [1.0, math.nan]],
)
def test_noise_levels_must_fall(name: str, sigmas: list[float]) -> None:
    with pytest.raises(ValueError, match="sigmas must fall strictly, to 0 at the lowest, got "):
        get_sampler(name)(convolving_denoiser, start([1]), sigmas, noise=StepNoise([1], SHAPE))


def test_unknown_solver_type_is_refused() -> None:
    with pytest.raises(ValueError, match='must be "midpoint" or "heun", got "euler"'):
        sample("dpmpp-2m-sde", [1], solver_type="euler")


@pytest.mark.parametrize(
    ("name", "near"),
    [("dpmpp2m", "dpmpp-2m"), ("DPMPP-3M-SDE", "dpmpp-3m-sde"), ("hune", "heun"), ("DDIM", "ddim")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    message = (
        f'unknown sampler "{name}"; did you mean "{near}"? Allowed: dpmpp-2m, dpmpp-2m-sde, '
        f"dpmpp-3m-sde, euler, heun, rk4, ddim, ping-pong, or k-diffusion:NAME with the "
        "k-diffusion extra"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        get_sampler(name)


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m_sde", "ping_pong"])
def test_names_are_written_with_hyphens_or_underscores(name: str) -> None:
    assert get_sampler(name) is get_sampler(name.replace("_", "-"))


def test_those_of_k_diffusion_too() -> None:
    pytest.importorskip("k_diffusion")
    x, sigmas = start([1]), SIGMAS
    for name in ("k_diffusion:dpmpp_2m", "k-diffusion:dpmpp-2m"):
        found = get_sampler(name)(convolving_denoiser, x, sigmas)
        expected = get_sampler("k-diffusion:dpmpp_2m")(convolving_denoiser, x, sigmas)
        assert torch.equal(found, expected)

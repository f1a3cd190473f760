import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.denoiser import VDenoiser
from stable_audio_open.diffusion.samplers import get_sampler
from stable_audio_open.diffusion.schedule import polyexponential

pytestmark = pytest.mark.numerical

SIGMAS = [1e-4, 0.3, 1.0, 80.0, 500.0]


def gaussian_velocity(mean: float, std: float) -> Callable[[Tensor, float], Tensor]:
    """The expected v = a eps - b x0 given z = a x0 + b eps, for data from N(mean, std^2)."""

    def velocity(z: Tensor, t: float) -> Tensor:
        a, b = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
        variance = (a * std) ** 2 + b**2
        x0 = mean + a * std**2 / variance * (z - a * mean)
        eps = b / variance * (z - a * mean)
        return a * eps - b * x0

    return velocity


def latents(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_unit_gaussian_data_has_the_closed_form_denoiser(sigma: float) -> None:
    x = sigma * latents()
    found = VDenoiser(gaussian_velocity(0, 1))(x, sigma)
    torch.testing.assert_close(found, x / (sigma**2 + 1))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_any_gaussian_data_has_the_closed_form_denoiser(sigma: float) -> None:
    mean, std = 0.7, 0.4
    x = mean + sigma * latents()
    found = VDenoiser(gaussian_velocity(mean, std))(x, sigma)
    torch.testing.assert_close(found, (std**2 * x + sigma**2 * mean) / (std**2 + sigma**2))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_true_velocity_gives_the_clean_latents_back(sigma: float) -> None:
    x0, eps = latents(), latents().flip(0)

    def velocity(z: Tensor, t: float) -> Tensor:
        a, b = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
        torch.testing.assert_close(z, a * x0 + b * eps)
        return a * eps - b * x0

    torch.testing.assert_close(VDenoiser(velocity)(x0 + sigma * eps, sigma), x0, atol=1e-9, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_first_steps_at_sigma_500_work_with_a_half_precision_model(dtype: torch.dtype) -> None:
    # sigma^2 overflows float16 above sigma = 256: the published code then predicts x0 = 0.
    exact = gaussian_velocity(0.7, 0.4)

    def velocity(x: Tensor, t: float) -> Tensor:
        assert x.dtype == torch.float32
        return exact(x.to(dtype), t)

    sigmas = polyexponential(100, 0.3, 500.0)
    seen: list[Tensor] = []
    x = get_sampler("dpmpp-2m")(
        VDenoiser(velocity),
        sigmas[0] * latents(torch.float32),
        sigmas,
        callback=lambda step, steps, x0: seen.append(x0),
    )
    assert x.dtype == torch.float32
    for sigma, x0 in zip(sigmas[:9], seen, strict=False):
        assert sigma > 256
        # x0 is the mean plus at most 0.4^2 x / 256^2; what is left is the rounding of v.
        expected = torch.full_like(x0, 0.7)
        torch.testing.assert_close(x0, expected, atol=1e-3, rtol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_answer_of_a_half_precision_model_is_used_in_float32(dtype: torch.dtype) -> None:
    v = latents(dtype)
    found = VDenoiser(lambda x, t: v)(torch.zeros(2, 3, 5), 3.0)
    torch.testing.assert_close(found, v.float() * (-3 / math.sqrt(10)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_state_in_half_precision_is_refused(dtype: torch.dtype) -> None:
    denoiser = VDenoiser(gaussian_velocity(0, 1))
    with pytest.raises(ValueError, match=f"must be torch.float32, got {dtype}"):
        denoiser(latents(dtype), 1.0)

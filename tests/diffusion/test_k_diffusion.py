"""Our samplers and schedules against those of k-diffusion, and its own under our interface."""

import importlib.util
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.samplers import StepNoise, get_sampler, initial_noise
from stable_audio_open.diffusion.samplers.k_diffusion import k_diffusion_samplers
from stable_audio_open.diffusion.schedule import karras, polyexponential

pytestmark = pytest.mark.numerical

needs_k_diffusion = pytest.mark.skipif(
    importlib.util.find_spec("k_diffusion") is None, reason="needs the k-diffusion extra"
)
SHAPE = (4, 16)
SIGMAS = karras(20, 0.3, 500.0)  # in log sigma, every step has another length
THEIRS = [
    *("euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast"),
    *("dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m", "dpmpp_2m_sde"),
    "dpmpp_3m_sde",
]
ADAPTIVE = "dpm_adaptive"


def denoiser(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Nonlinear, and it mixes channels and time; sigma is one number, or one per item."""
    if isinstance(sigma, Tensor):
        sigma = sigma[:, None, None]
    scale = (sigma**2 + 1) ** 0.5
    z = x / scale
    return z / scale + 0.5 * sigma / scale * (z.roll(1, 1) + z.roll(1, 2)).sin()


def start(dtype: torch.dtype) -> Tensor:
    return SIGMAS[0] * initial_noise(SHAPE, [1, 2]).to(dtype)


@needs_k_diffusion
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("ours", "theirs", "keywords"),
    [
        ("euler", "euler", {}),
        ("heun", "heun", {}),
        ("ddim", "euler_ancestral", {"eta": 1.0}),
        ("ddim", "euler_ancestral", {"eta": 0.4, "s_noise": 0.9}),
        ("dpmpp-2m", "dpmpp_2m", {}),
        ("dpmpp-2m-sde", "dpmpp_2m_sde", {}),
        ("dpmpp-2m-sde", "dpmpp_2m_sde", {"solver_type": "heun"}),
        ("dpmpp-2m-sde", "dpmpp_2m_sde", {"eta": 0.4, "s_noise": 0.9}),
        ("dpmpp-3m-sde", "dpmpp_3m_sde", {}),
        ("dpmpp-3m-sde", "dpmpp_3m_sde", {"eta": 0.4, "s_noise": 0.9}),
    ],
)
def test_samplers_equal_those_of_k_diffusion(
    ours: str, theirs: str, keywords: dict[str, Any], dtype: torch.dtype
) -> None:
    found = get_sampler(ours)(
        denoiser, start(dtype), SIGMAS, noise=StepNoise([1, 2], SHAPE), **keywords
    )
    if theirs.endswith(("sde", "ancestral")):
        noise = StepNoise([1, 2], SHAPE)
        keywords = {**keywords, "noise_sampler": lambda a, b: noise(a.item(), b.item()).to(dtype)}
    expected = k_diffusion_samplers()[theirs](
        denoiser,
        start(dtype),
        torch.tensor(SIGMAS, dtype=dtype),
        disable=True,
        **keywords,
    )
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected)


@needs_k_diffusion
@pytest.mark.parametrize("n", [1, 20, 100])
@pytest.mark.parametrize(
    ("ours", "theirs", "rho"),
    [
        (polyexponential, "get_sigmas_polyexponential", 1.0),
        (polyexponential, "get_sigmas_polyexponential", 2.0),
        (karras, "get_sigmas_karras", 3.0),
        (karras, "get_sigmas_karras", 7.0),
    ],
)
def test_schedules_equal_those_of_k_diffusion(
    ours: Callable[..., list[float]], theirs: str, rho: float, n: int
) -> None:
    k_diffusion_samplers()
    expected = getattr(sys.modules["k_diffusion.sampling"], theirs)(n, 0.3, 500.0, rho)
    # Theirs are float32 throughout; ours are rounded to it at the end.
    torch.testing.assert_close(torch.tensor(ours(n, 0.3, 500.0, rho)), expected, rtol=1e-5, atol=0)


@needs_k_diffusion
def test_every_sampler_of_k_diffusion_has_a_name() -> None:
    assert sorted(k_diffusion_samplers()) == sorted(THEIRS)


@needs_k_diffusion
@pytest.mark.parametrize("name", THEIRS)
def test_every_sampler_of_k_diffusion_samples_under_our_interface(name: str) -> None:
    steps: list[tuple[int, int]] = []
    seeds = [1] if name == ADAPTIVE else [1, 2]

    def sample(denoiser: Callable[[Tensor, float], Tensor]) -> Tensor:
        return get_sampler(f"k-diffusion:{name}")(
            denoiser,
            SIGMAS[0] * initial_noise(SHAPE, seeds),
            SIGMAS,
            noise=StepNoise(seeds, SHAPE),
            callback=lambda step, steps_, x0: steps.append((step, steps_)),
        )

    # Data that are 0.25 everywhere: whatever the path, it ends there.
    found = sample(lambda x, sigma: torch.full_like(x, 0.25))
    torch.testing.assert_close(found, torch.full_like(found, 0.25), atol=1e-4, rtol=0)
    assert all(0 <= step < steps_ == 20 for step, steps_ in steps)
    assert steps == sorted(steps)
    assert torch.equal(sample(denoiser), sample(denoiser))


@needs_k_diffusion
@pytest.mark.parametrize("name", [name for name in THEIRS if name != ADAPTIVE])
def test_an_item_of_a_batch_is_what_its_seed_gives_alone(name: str) -> None:
    """A large neighbour would change the steps of a solver that goes by the whole batch."""

    def sample(seeds: list[int]) -> Tensor:
        x = SIGMAS[0] * initial_noise(SHAPE, seeds).double()
        x[1:] *= 5
        noise = StepNoise(seeds, SHAPE)
        return get_sampler(f"k-diffusion:{name}")(denoiser, x, SIGMAS, noise=noise)

    torch.testing.assert_close(sample([1, 2])[0], sample([1])[0])


@needs_k_diffusion
def test_a_sampler_that_chooses_its_steps_by_the_batch_takes_no_batch() -> None:
    message = '"k-diffusion:dpm_adaptive" chooses its steps .* one item at a time, got 2'
    with pytest.raises(ValueError, match=message):
        get_sampler(f"k-diffusion:{ADAPTIVE}")(denoiser, start(torch.float32), SIGMAS)


@needs_k_diffusion
def test_one_of_theirs_under_our_interface_equals_ours() -> None:
    found = get_sampler("k-diffusion:dpmpp_2m")(denoiser, start(torch.float64), SIGMAS)
    expected = get_sampler("dpmpp-2m")(denoiser, start(torch.float64), SIGMAS)
    torch.testing.assert_close(found, expected)


@needs_k_diffusion
def test_theirs_ask_for_noise_where_they_add_it() -> None:
    with pytest.raises(ValueError, match='"k-diffusion:dpm_2_ancestral" adds noise'):
        get_sampler("k-diffusion:dpm_2_ancestral")(denoiser, start(torch.float32), SIGMAS)
    ode = get_sampler("k-diffusion:euler")(denoiser, start(torch.float64), SIGMAS)
    ancestral = get_sampler("k-diffusion:euler_ancestral")
    found = ancestral(denoiser, start(torch.float64), SIGMAS, eta=0.0)
    torch.testing.assert_close(found, ode)


@needs_k_diffusion
def test_a_sampler_with_its_own_levels_needs_two_steps() -> None:
    with pytest.raises(ValueError, match='"k-diffusion:dpm_fast" needs at least 2 steps, got 1'):
        get_sampler("k-diffusion:dpm_fast")(denoiser, start(torch.float32), [500.0, 0.0])


@needs_k_diffusion
def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    message = 'k-diffusion has no sampler "dpm2"; did you mean "k-diffusion:dpm_2"? It has: dpm_2, '
    with pytest.raises(ValueError, match=re.escape(message)):
        get_sampler("k-diffusion:dpm2")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "k_diffusion", None)
    with pytest.raises(ValueError, match="need the k-diffusion extra") as caught:
        get_sampler("k-diffusion:dpm_2")
    message = str(caught.value)
    assert message.endswith('pip install "stable-audio-open[k-diffusion]"')
    assert "\n" not in message

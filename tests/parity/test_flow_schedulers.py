"""Flows against diffusers' schedulers of flow matching."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.denoiser import FlowDenoiser
from stable_audio_open.diffusion.samplers import get_sampler, initial_noise
from stable_audio_open.diffusion.schedule import flow_time_from_sigma, log_snr
from stable_audio_open.diffusion.timestep_shift import TimestepShift

diffusers = pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.numerical,
    # A tensor that diffusers hands to NumPy 2, which PyTorch has not learnt yet.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
]


def velocity(x_t: Tensor, t: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 4, 3, generator=generator).to(x_t) / 4
    return torch.nn.functional.conv1d((x_t + t).tanh(), weight, padding=1)


def times(sigmas: list[float]) -> list[float]:
    return [flow_time_from_sigma(sigma) for sigma in sigmas]


@pytest.mark.parametrize("steps", [1, 8, 30])
def test_euler_is_that_of_diffusers(steps: int) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    sigmas = log_snr(steps)
    scheduler.set_timesteps(sigmas=times(sigmas)[:-1])
    x = noise = initial_noise((4, 16), [0, 1])
    for t in scheduler.timesteps:
        x = scheduler.step(velocity(x, float(t) / 1000), t, x).prev_sample
    found = get_sampler("euler")(FlowDenoiser(velocity), noise, sigmas)
    torch.testing.assert_close(found, x)


@pytest.mark.parametrize("steps", [2, 8, 30])
def test_dpm_solver_is_that_of_diffusers(steps: int) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        final_sigmas_type="zero",
        euler_at_final=True,
    )
    scheduler.set_timesteps(steps)
    # Its own grid begins below 1, and is of float32.
    t = scheduler.sigmas.double()
    sigmas = (t / (1 - t)).tolist()
    noise = initial_noise((4, 16), [0, 1]).double()
    x = z = noise
    for i, index in enumerate(scheduler.timesteps):
        z = scheduler.step(velocity(z, float(t[i])), index, z).prev_sample
    x = get_sampler("dpmpp-2m")(FlowDenoiser(velocity), noise * (1 + sigmas[0]), sigmas)
    torch.testing.assert_close(x, z.double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [64, 256, 2000, 4096])
def test_the_shift_is_that_of_diffusers(frames: int) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    shift = TimestepShift()
    t = np.linspace(0.02, 1, 30)
    expected = scheduler.time_shift(shift.mu(frames), 1.0, t)
    assert [shift.time(float(one), frames) for one in t] == pytest.approx(expected)
    found = shift.times(torch.from_numpy(t), frames)
    torch.testing.assert_close(found, torch.from_numpy(expected))

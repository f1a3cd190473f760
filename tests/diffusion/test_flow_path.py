import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.denoiser import FlowDenoiser
from stable_audio_open.diffusion.flow_path import flow_endpoint
from stable_audio_open.diffusion.samplers.euler import euler
from stable_audio_open.diffusion.schedule import log_snr, sigma_from_flow_time

pytestmark = pytest.mark.numerical

SPREAD = 0.5


def gaussian(x: Tensor, t: Tensor) -> Tensor:
    """The velocity of data that is normal with standard deviation `SPREAD`, around 0."""
    t = t[:, None, None]
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    return (t - (1 - t) * SPREAD**2) / variance * x


def states(items: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(items, 2, 5, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.05, 0.3, 0.9, 0.9999])
def test_one_time_for_all_is_the_sampler_of_generation(t: float) -> None:
    x, steps = states(3), 7
    found = flow_endpoint(gaussian, x, torch.full((3,), t, dtype=torch.float64), steps=steps)
    sigma = sigma_from_flow_time(t)

    def velocity(x: Tensor, t: float) -> Tensor:
        return gaussian(x, torch.full((len(x),), t, dtype=torch.float64))

    levels = log_snr(steps, sigma_max=sigma)
    if t > 0.9975:  # there the published grid has its first level at infinity, and then e^6
        levels = [sigma, *log_snr(steps)[1:]]
    expected = euler(FlowDenoiser(velocity), x * (1 + sigma), levels)
    torch.testing.assert_close(found, expected)


def test_each_item_goes_from_its_own_time_to_the_closed_form() -> None:
    """On a Gaussian's path the state keeps its place in units of the spread."""
    t = torch.tensor([0.1, 0.4, 0.7, 0.98, 1.0], dtype=torch.float64)
    x = states(5)
    spread = ((1 - t) ** 2 * SPREAD**2 + t**2).sqrt()[:, None, None]
    exact = x / spread * SPREAD
    errors = []
    for steps in (40, 80, 160):
        found = flow_endpoint(gaussian, x, t, steps=steps)
        errors.append((found - exact).norm(dim=(1, 2)) / exact.norm(dim=(1, 2)))
        for index in range(5):
            alone = flow_endpoint(gaussian, x[index : index + 1], t[index : index + 1], steps=steps)
            torch.testing.assert_close(found[index : index + 1], alone)
    # The grid ends with a step from t = 0.12 to 0, whose error does not fall below some percent.
    assert (errors[-1] < 0.06).all()
    assert (errors[2] <= errors[0] + 1e-9).all()


def test_a_straight_flow_is_exact_in_one_step() -> None:
    x, end = states(3), states(4)[1:]
    t = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)

    def velocity(x: Tensor, now: Tensor) -> Tensor:
        return (x - end) / now[:, None, None]

    for steps in (1, 4):
        torch.testing.assert_close(flow_endpoint(velocity, x, t, steps=steps), end)

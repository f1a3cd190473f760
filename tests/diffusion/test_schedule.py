import itertools
import math

import pytest
import torch

from stable_audio_open.diffusion.schedule import karras, polyexponential, time_from_sigma

pytestmark = pytest.mark.numerical

SCHEDULES = [polyexponential, karras]


def test_polyexponential_is_the_formula_of_the_paper() -> None:
    rho, low, high = 1.7, 0.3, 500.0
    ramp = torch.linspace(1, 0, 20, dtype=torch.float64) ** rho
    expected = (ramp * (math.log(high) - math.log(low)) + math.log(low)).exp()
    found = torch.tensor(polyexponential(20, low, high, rho), dtype=torch.float64)
    torch.testing.assert_close(found, torch.cat([expected, expected.new_zeros(1)]))


def test_polyexponential_with_rho_1_has_a_constant_ratio() -> None:
    sigmas = polyexponential(100, 0.3, 500.0)
    ratios = [after / before for before, after in itertools.pairwise(sigmas[:-1])]
    assert ratios == pytest.approx([(0.3 / 500) ** (1 / 99)] * 99)


def test_karras_is_linear_in_the_rho_th_root() -> None:
    roots = [sigma ** (1 / 7) for sigma in karras(50, 0.3, 500.0)[:-1]]
    differences = [after - before for before, after in itertools.pairwise(roots)]
    assert differences == pytest.approx([(0.3 ** (1 / 7) - 500 ** (1 / 7)) / 49] * 49)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n", [1, 2, 100])
def test_schedules_fall_from_sigma_max_to_sigma_min_to_0(schedule, n: int) -> None:
    sigmas = schedule(n, 0.3, 500.0)
    assert len(sigmas) == n + 1
    assert all(after < before for before, after in itertools.pairwise(sigmas))
    assert sigmas[0] == pytest.approx(500)
    assert sigmas[-1] == 0
    if n > 1:
        assert sigmas[-2] == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_refuse_what_makes_no_sense(schedule) -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        schedule(0, 0.3, 500.0)
    for low, high in [(0.0, 500.0), (-1.0, 500.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)]:
        with pytest.raises(ValueError, match=f"0 < sigma_min < sigma_max, got {low} and {high}"):
            schedule(10, low, high)
    with pytest.raises(ValueError, match="rho must be above 0, got 0"):
        schedule(10, 0.3, 500.0, rho=0.0)


@pytest.mark.parametrize("sigma", [0.0, 1e-3, 0.3, 1.0, 500.0])
def test_time_and_sigma_are_the_angle_of_the_v_process(sigma: float) -> None:
    angle = math.pi * time_from_sigma(sigma) / 2
    assert math.sin(angle) / math.cos(angle) == pytest.approx(sigma)
    assert 0 <= time_from_sigma(sigma) < 1

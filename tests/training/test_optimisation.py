import pytest
import torch
from torch import nn

from stable_audio_open.training.optimisation import OptimizerSettings


def optimisation(**changes: float) -> OptimizerSettings:
    settings = {"inv_gamma": 200_000, "power": 0.5, "warmup": 0.999} | changes
    return OptimizerSettings(lr=1.5e-4, betas=(0.8, 0.99), weight_decay=1e-3, **settings)


@pytest.mark.parametrize(
    ("inv_gamma", "power", "warmup"), [(200_000, 0.5, 0.999), (1_000_000, 0.5, 0.99), (50, 1.0, 0)]
)
@pytest.mark.parametrize("step", [0, 1, 10, 1000, 300_000])
def test_learning_rate_is_the_ramp_up_times_the_decay(
    inv_gamma: float, power: float, warmup: float, step: int
) -> None:
    found = optimisation(inv_gamma=inv_gamma, power=power, warmup=warmup).factor(step)
    assert found == pytest.approx((1 - warmup ** (step + 1)) / (1 + step / inv_gamma) ** power)


def test_the_published_figures() -> None:
    autoencoder = optimisation()
    assert autoencoder.factor(0) == pytest.approx(1e-3)
    assert autoencoder.factor(600_000) == pytest.approx(0.5)


def test_every_step_of_the_optimiser_has_the_rate_of_its_number() -> None:
    chosen = optimisation(inv_gamma=2, warmup=0.5)
    weight = nn.Parameter(torch.ones(()))
    optimizer, schedule = chosen.configure([weight])
    rates = []
    for _ in range(5):
        weight.grad = torch.ones(())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1.5e-4 * chosen.factor(step) for step in range(5)])
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    assert optimizer.param_groups[0]["weight_decay"] == 1e-3


def test_the_state_of_the_schedule_holds_numbers_alone() -> None:
    # What else it held would have to be unpickled when a run is resumed.
    _, schedule = optimisation().configure([nn.Parameter(torch.ones(()))])
    for value in schedule.state_dict().values():
        assert isinstance(value, (int, float, bool, list, type(None)))
    assert schedule.state_dict()["lr_lambdas"] == [None]

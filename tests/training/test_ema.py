import pytest
import torch
from torch import nn

from stable_audio_open.training.ema import EmaSchedule, averaged_copy, update_average


def module(value: float) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(3)
    assert layer.running_mean is not None
    nn.init.constant_(layer.weight, value)
    layer.running_mean.fill_(value)
    return layer


def test_decay_warms_up_to_its_final_value() -> None:
    schedule = EmaSchedule(decay=0.9999, power=0.75)
    assert schedule.at(1) == pytest.approx(1 - 2**-0.75)
    assert schedule.at(1000) == pytest.approx(1 - 1001**-0.75)
    assert schedule.at(10**6) == 0.9999
    assert EmaSchedule(decay=0.5, power=0.75).at(10) == 0.5


def test_average_of_a_sequence_has_its_closed_form() -> None:
    values, decays = [2.0, -1.0, 4.0], [0.5, 0.9, 0.8]
    online = module(1.0)
    average = averaged_copy(online)
    expected = 1.0
    for value, decay in zip(values, decays, strict=True):
        update_average(average, module(value), decay=decay)
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.weight, torch.full((3,), expected))


def test_buffers_are_copied_not_averaged() -> None:
    average = averaged_copy(module(1.0))
    update_average(average, module(5.0), decay=0.9)
    assert average.running_mean is not None
    assert average.running_mean.tolist() == [5.0] * 3


def test_a_copy_is_frozen_and_of_its_own() -> None:
    online = module(1.0)
    average = averaged_copy(online)
    update_average(online, module(7.0), decay=0.0)
    assert average.weight.tolist() == [1.0] * 3
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not average.training

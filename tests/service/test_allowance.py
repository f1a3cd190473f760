"""A client's jobs take no more than their time."""

import pytest

from stable_audio_open.service.allowance import HOUR, Allowance
from stable_audio_open.service.problems import BusyError


def test_time_comes_back_after_an_hour() -> None:
    now = 0.0
    allowance = Allowance(10.0, clock=lambda: now)
    allowance.took("a", 6.0)
    now = 100.0
    allowance.check("a")
    allowance.took("a", 6.0)
    with pytest.raises(BusyError, match="the 10 seconds that they may in an hour") as busy:
        allowance.check("a")
    assert busy.value.problem.retry_after == HOUR - 100
    allowance.check("b")
    now = HOUR
    allowance.check("a")


def test_without_a_limit_nobody_is_refused() -> None:
    allowance = Allowance(None)
    allowance.took("a", 1e9)
    allowance.check("a")

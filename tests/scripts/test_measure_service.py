"""The measurement of the service."""

import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("measure_service")


@pytest.mark.slow
def test_few_clients_get_their_own_sounds(script: ModuleType) -> None:
    options = ("--clients", "2", "--seconds", "1", "--steps", "1", "--duration", "0.2")
    found = script.measure(script.parsed([*options, "--most-steps", "300", "--alone", "2"]))
    assert found["answers"] == {"202": found["sounds"]}
    assert found["fewest_sounds_of_a_client"] >= 1
    assert found["ratio"] == pytest.approx(
        found["sounds_a_second"] / found["sounds_a_second_without"], rel=0.02
    )
    assert len(found["megabytes"]) == 2


def test_memory_and_time_are_those_of_a_process(script: ModuleType) -> None:
    assert script.resident(os.getpid()) > 10_000_000
    assert script.family(os.getpid())[0] == os.getpid()
    assert script.cpu_seconds(os.getpid()) > 0

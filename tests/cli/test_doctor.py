import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from stable_audio_open.jobs.doctor import self_test

Run = Callable[..., CompletedProcess[str]]


@pytest.mark.slow
def test_it_prints_what_it_finds(run: Run) -> None:
    result = run("doctor", "--device", "cpu")
    assert (result.returncode, result.stderr) == (0, "")
    for line in (
        "packages",
        "  ok    torch: ",
        "optional parts",
        "  ok    one step: ",
        "all works",
    ):
        assert f"\n{line}" in result.stdout


@pytest.mark.slow
def test_json_holds_the_same(run: Run) -> None:
    result = run("doctor", "--device", "cpu", "--json")
    found = json.loads(result.stdout)
    assert [part["name"] for part in found["sections"]] == [
        "packages",
        "optional parts",
        "devices",
        "access",
        "self-test",
    ]


@pytest.mark.slow
def test_a_fault_has_an_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "TOLERANCES", dict.fromkeys(self_test.TOLERANCES, 0.0))
    result = run("doctor", "--device", "cpu")
    assert result.returncode == 1
    assert result.stdout.endswith("3 do not work: see FAULT above\n")

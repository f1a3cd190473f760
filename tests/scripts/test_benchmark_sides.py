"""The benchmark's sides: processes that are compared, and asked in turns."""

import importlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SCRIPTS = Path(__file__).parents[2] / "scripts"
CASES = ("load", "text", "step", "decode", "encode", "clip")
TRAINING = ("train-transformer", "train-autoencoder")
OURS = "stable-audio-open"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarking.{name}")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the script at the smallest size and return what it wrote."""
    script: Any = importlib.import_module("benchmark")
    smallest = ("--size", "tiny", "--depth", "1", "--frames", "4", "--crop-frames", "4")
    often = ("--repeats", "2", "--warmup", "0", "--clip-steps", "2", "--threads", "1")
    path = folder / "report.json"
    assert script.main([*smallest, *often, *arguments, "--json", str(path)]) == 0
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def check_cases(report: Mapping[str, Any], peer: str, dtype: str) -> None:
    for name, part in report["parts"].items():
        for side in (OURS, peer):
            measured = part["sides"][side]
            assert len(measured["values"]) == 2
            assert 0 < measured["low"] <= measured["median"] <= measured["high"]
            assert measured["memory"]["allocated"] is None, "a CPU has no such counter"
            if Path("/proc/self/status").is_file():
                memory = measured["memory"]
                assert memory["with_mapped"] > memory["own"] >= memory["own_before"] > 0
            assert (measured["operations"] > 0) == (name != "load")
            assert measured["roofline"] > 0
        assert len(part["ratios"][peer]["values"]) == 2
        if name not in ("load", "clip"):
            half = name == "text" and peer == "stable-audio-tools"
            allowed = 1e-3 if half or name in TRAINING else 1e-5
            assert part["agreement"]["float32"][peer] < allowed
            if dtype != "float32":
                assert 0 < part["agreement"][dtype][peer] < 0.3
        assert part["parameters"] > 0
    # The null half's cross-attention is left out here.
    if "step" in report["parts"]:
        step = report["parts"]["step"]["sides"]
        assert step[OURS]["operations"] <= step[peer]["operations"]
    assert set(report["versions"]) == {OURS, peer}


@pytest.mark.slow
def test_every_case_beside_diffusers(tmp_path: Path) -> None:
    peer = f"diffusers:{sys.executable}"
    files = ("--markdown", str(tmp_path / "report.md"))
    cases = (*CASES, *TRAINING)
    report = run(tmp_path, "--peer", peer, *files, "--only", *cases)
    assert list(report["parts"]) == list(cases)
    assert report["settings"]["peer"] == ["diffusers"]
    check_cases(report, "diffusers", "float32")
    decode = report["parts"]["decode"]
    assert decode["amount"] == pytest.approx(4 * 1024 / 44100)
    table = (tmp_path / "report.md").read_text()
    for word in (*cases, OURS, "diffusers", "roofline"):
        assert word in table


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_case_beside_stable_audio_tools(dtype: str, tmp_path: Path) -> None:
    python = os.environ.get("STABLE_AUDIO_TOOLS_PYTHON")
    if python is None:
        pytest.skip(
            "STABLE_AUDIO_TOOLS_PYTHON names the interpreter of an environment with "
            "stable-audio-tools, which is not set here"
        )
    peer = f"stable-audio-tools:{python}"
    cases = (*CASES, *TRAINING)
    report = run(tmp_path, "--dtype", dtype, "--peer", peer, "--only", *cases)
    check_cases(report, "stable-audio-tools", dtype)


@pytest.mark.slow
def test_growth_and_its_figures(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        "--only",
        "step",
        "--plots",
        str(tmp_path),
        "--most-frames",
        "256",
        "--most-recordings",
        "1000",
        "--peer",
        "none",
    )
    assert [size for size, _ in report["growth"]["step"]["sides"][OURS]["points"]] == [128, 256]
    assert list(report["growth"]) == ["step", "decode", "start"]
    assert report["growth"]["start"]["sides"][OURS]["exponent"] is None, "one size only"
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "bars.png").exists(), "there is nothing to compare with"


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    sys.path.insert(0, str(SCRIPTS))
    try:
        model = module("shared").write_model(
            folder, size="tiny", depth=1, frames=4, seed=0, diffusers=True
        )
        model.write_inputs(4, seed=0)
    finally:
        sys.path.remove(str(SCRIPTS))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "tensor"),
    [
        ("step", "model.model.transformer.layers.0.cross_attn.to_q.weight"),
        ("decode", "pretransform.model.decoder.layers.1.layers.2.layers.1.weight_v"),
        ("encode", "pretransform.model.encoder.layers.1.layers.0.layers.0.alpha"),
        ("text", "conditioner.conditioners.seconds_total.embedder.embedding.1.weight"),
    ],
)
def test_another_weight_on_one_side_is_noticed(
    case: str, tensor: str, shared_folder: Path, tmp_path: Path
) -> None:
    sides = {
        OURS: module("workers.our_side").OurSide,
        "diffusers": module("workers.diffusers_side").DiffusersSide,
    }
    inputs = load_file(shared_folder / "inputs_4.safetensors")
    changed = tmp_path / "changed"
    shutil.copytree(shared_folder, changed)
    path = changed / "stable_audio_tools" / "model.safetensors"
    weights = load_file(path)
    assert tensor in weights, [name for name in weights if tensor.split(".")[0] in name]
    weights[tensor] = weights[tensor].flatten().roll(1).reshape(weights[tensor].shape)
    save_file(weights, path)

    def outputs(folder: Path) -> dict[str, Tensor]:
        with warnings.catch_warnings(action="ignore"):  # as in the process of its own
            job = module("workers.side").Job(folder, torch.device("cpu"), torch.float32, 1, 0)
            found = {}
            for name, kind in sides.items():
                side = kind(job)
                side.load()
                found[name] = side.case(case, inputs, mixed=None)()
        return found

    comparison = module("comparison")
    assert comparison.compare(case, outputs(shared_folder))["diffusers"] < 1e-5
    with pytest.raises(comparison.OutputsDifferError, match="differs from that of diffusers by"):
        comparison.compare(case, outputs(changed))


def test_presets_give_way_to_what_is_said() -> None:
    options = module("options")
    read = options.read_options(["--gpu", "--device", "cpu", "--size", "tiny"], None)
    assert (read.size, read.device, read.dtype, read.at_most) == ("tiny", "cpu", "bfloat16", 420)
    read = options.read_options(["--quick", "--repeats", "1"], None)
    assert (read.repeats, read.size, read.depth, read.at_most) == (1, "published", 2, 210)
    assert list(options.CASES) == list(module("cases").CASES)


@pytest.mark.slow
def test_the_gpu_preset_runs_dry(tmp_path: Path) -> None:
    report = run(tmp_path, "--gpu", "--device", "cpu")
    assert list(report["parts"]) == [*CASES, *TRAINING]
    check_cases(report, "diffusers", "bfloat16")


@pytest.mark.slow
def test_what_is_left_out_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(tmp_path, "--only", "step", "crops", "--at-most", "0", "--peer", "none")
    assert report["left_out"] == ["step", "crops"]
    assert "left out, since there was no time: step, crops" in capsys.readouterr().out


def test_on_a_gpu(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("waits for a CUDA device: clock by events, and memory peaks")
    report = run(tmp_path, "--device", "cuda", "--dtype", "bfloat16", "--only", "step", "decode")
    for part in report["parts"].values():
        memory = part["sides"][OURS]["memory"]
        assert memory["reserved"] >= memory["allocated"] > 0

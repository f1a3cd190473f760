"""The benchmark compares outputs, and asks its sides in turns."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

SCRIPTS = Path(__file__).parents[2] / "scripts"
OURS = "stable-audio-open"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarking.{name}")


class Fake:
    """A side that returns what it is told, and notes what it was asked for."""

    def __init__(self, name: str, asked: list[str], **outputs: Tensor) -> None:
        self.name, self.asked, self.outputs = name, asked, outputs
        self.dtype = "float32"
        self.failing: dict[str, bool] = {}
        """Whether the process ends, by what it is asked for."""

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        self.asked.append(f"{self.name} {do}")
        if do in self.failing:
            error = module("workers.client").SideError
            raise error(f"{self.name}: {do!r} failed with wrong", ended=self.failing[do])
        if do == "open":
            self.dtype = fields["dtype"]
        if do == "output":
            output = self.outputs.get(self.dtype, self.outputs["float32"])
            save_file({"output": output}, fields["file"])
        return {"versions": {}, "has": True, "operations": 8, "seconds": 1.0}


class FakeModel:
    """Stands for the files that the sides read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = module("sizes").diffusion_config("tiny", depth=1, frames=4, shared=True)
        self.parameters = dict.fromkeys(module("cases").CASES, 1)

    def write_inputs(self, frames: int, *, seed: int) -> Path:
        return self.folder / f"{frames}_{seed}"


def measurement(
    sides: Mapping[str, Any], folder: Path, *, dtype: torch.dtype, seconds: float | None = None
) -> Any:
    turns = module("turns").Turns(
        sides,
        FakeModel(folder),
        folder,
        module("turns").Clock(seconds),
        device="cpu",
        dtype=dtype,
        threads=None,
        steps=1,
        crop=4,
        seed=0,
    )
    most = {"operations_per_second": 16.0, "bytes_per_second": 1e9}
    return module("measurement").Measurement(
        turns, {str(dtype)[6:]: most}, warmup=1, repeats=3, calls=1, seconds=None
    )


def test_sides_take_turns(tmp_path: Path) -> None:
    asked: list[str] = []
    sides = {name: Fake(name, asked, float32=torch.ones(4)) for name in (OURS, "diffusers")}
    report: dict[str, Any] = {}
    measurement(sides, tmp_path, dtype=torch.float32).run(["step"], report)
    both = [[f"{name} {do}" for name in sides] for do in ("output", "time")]
    assert asked[-8:] == both[1] * 4, "a round of warm-up, and three that count"
    assert asked.index(both[0][0]) < asked.index(both[1][0])
    assert report["step"]["ratios"]["diffusers"]["values"] == [1.0] * 3
    assert report["step"]["sides"][OURS]["roofline"] == 0.5


def test_what_there_is_no_time_for_is_told(tmp_path: Path) -> None:
    asked: list[str] = []
    measured = measurement(
        {OURS: Fake(OURS, asked, float32=torch.ones(4))}, tmp_path, dtype=torch.float32, seconds=0
    )
    report: dict[str, Any] = {}
    measured.run(["step", "train-transformer"], report)
    assert not report
    assert measured._turns.clock.left_out == ["step", "train-transformer"]
    assert f"{OURS} time" not in asked


@pytest.mark.slow
@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("do", ["open", "prepare", "output", "memory", "operations", "time"])
def test_a_peer_that_fails_is_left_out(do: str, ended: bool, tmp_path: Path) -> None:
    asked: list[str] = []
    sides = {name: Fake(name, asked, float32=torch.ones(4)) for name in (OURS, "diffusers")}
    sides["diffusers"].failing[do] = ended
    measured, report = measurement(sides, tmp_path, dtype=torch.bfloat16), dict[str, Any]()
    measured.run(["step", "decode"], report)
    for part in report.values():
        assert part["sides"][OURS]["median"] == 1
        assert part["sides"]["diffusers"] is None
        assert part["ratios"] == {}
    failures = measured._turns.failures
    assert f"diffusers: {do!r} failed with wrong" in failures[0]
    if ended:
        assert len(failures) == 1
        assert asked.count(f"diffusers {do}") == 1, "who has ended is asked for nothing more"


def test_our_own_failure_ends_the_run(tmp_path: Path) -> None:
    ours = Fake(OURS, [], float32=torch.ones(4))
    ours.failing["time"] = False
    with pytest.raises(module("workers.client").SideError, match="'time' failed with wrong"):
        measurement({OURS: ours}, tmp_path, dtype=torch.float32).run(["step"], {})


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (
            {"float32": torch.full((4,), 1.001)},
            r"step: the output differs from that of diffusers by 0\.001 of its root mean square in "
            r"float32, allowed is 0\.0001; it was not timed",
        ),
        ({"float32": torch.full((4,), torch.nan)}, "differs from that of diffusers by nan"),
        ({"float32": torch.ones(3)}, r"shapes \[3\] and \[4\]"),
        (
            {"float32": torch.ones(4), "bfloat16": torch.full((4,), 1.5)},
            f"the output of {OURS} differs from its own in float32 by 0.5 of its root mean square "
            "in bfloat16, allowed is 0.3",
        ),
    ],
)
def test_what_differs_is_not_timed(ours: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    asked: list[str] = []
    sides = {
        OURS: Fake(OURS, asked, **ours),
        "diffusers": Fake("diffusers", asked, float32=torch.ones(4)),
    }
    with pytest.raises(module("comparison").OutputsDifferError, match=message):
        measurement(sides, tmp_path, dtype=torch.bfloat16).run(["step"], {})
    assert not any("time" in each for each in asked)


def test_clips_need_the_same_shape_alone() -> None:
    comparison = module("comparison")
    assert comparison.compare("clip", {OURS: torch.ones(4), "other": torch.zeros(4)}) == {}
    with pytest.raises(comparison.OutputsDifferError, match=r"shapes \[4\] and \[5\]"):
        comparison.compare("clip", {OURS: torch.ones(4), "other": torch.zeros(5)})

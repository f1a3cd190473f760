"""What the profile of sampling steps counts, on events by hand."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("gpu_checking.steps")


def event(name: str, start: float, length: float, category: str = "kernel") -> dict[str, Any]:
    return {"ph": "X", "name": name, "ts": start, "dur": length, "cat": category}


def test_gaps_launches_and_kernels(steps: ModuleType) -> None:
    events = [
        event("gemm", 1000, 600),
        event("add", 1500, 300),  # beside the other
        event("gemm", 2000, 1000),
        event("Memcpy DtoH", 3500, 500, "gpu_memcpy"),
        *(event("cudaLaunchKernel", start, 1, "cuda_runtime") for start in (0, 10, 20)),
        event("cudaStreamSynchronize", 30, 1, "cuda_runtime"),
        event("aten::mm", 0, 5000, "cpu_op"),
        {"ph": "M", "name": "process_name"},
    ]
    found = steps.summary(events, kinds=("kernel", "gpu_memcpy", "gpu_memset"))
    assert found["milliseconds_per_step"] == pytest.approx(0.3)
    assert found["busy_share"] == pytest.approx(2300 / 3000)
    assert found["launches_per_step"] == pytest.approx(0.3)
    assert found["waits_in_all"] == {"cudaStreamSynchronize": 1}
    assert found["copies_in_all"] == 1
    assert (found["gaps_per_step"], found["longest_gap_milliseconds"]) == pytest.approx((0.2, 0.5))
    assert [one["name"] for one in found["kernels"]] == ["gemm", "Memcpy DtoH", "add"]
    assert found["kernels"][0]["times_per_step"] == pytest.approx(0.2)


def test_nothing_computed(steps: ModuleType) -> None:
    found = steps.summary([], kinds=("kernel",))
    assert (found["busy_share"], found["kernels"]) == (None, [])

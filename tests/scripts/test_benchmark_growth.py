"""The benchmark's crops, curves and figures."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
OURS = "stable-audio-open"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarking.{name}")


def test_what_grows_as_a_power_has_that_exponent() -> None:
    exponent = module("growth").exponent
    assert exponent({size: 3.0 * size**1.5 for size in (10, 30, 100)}) == pytest.approx(1.5)
    assert exponent({10: 1.0}) is None


def test_figures_of_a_report() -> None:
    spread = {"median": 2.0, "low": 1.5, "high": 2.5}
    part = {"sides": {OURS: spread, "diffusers": spread, "other": None}}
    curve = {"points": [[128, 0.1], [256, 0.3]], "exponent": 1.58}
    report = {
        "parts": {"step": part | {"ratios": {"diffusers": spread}}, "alone": {"stages": {}}},
        "growth": {"step": {"across": "frames", "sides": {OURS: curve}}},
    }
    plots = module("showing.plots")
    (axes,) = plots.bars({"step": report["parts"]["step"]}).axes
    assert [label.get_text() for label in axes.texts] == ["2 s", "2 s"]
    assert [bar.get_width() for bar in axes.patches] == [1, 2]
    files = plots.draw(report)
    assert list(files) == ["bars.png", "growth.png"]
    for data in files.values():
        assert data.startswith(b"\x89PNG")


@pytest.mark.slow
def test_crops_are_what_the_file_has_there() -> None:
    measured = module("recordings").time_crops(0.2, warmup=0, repeats=1, seed=0)
    assert list(measured) == ["crop wav", "crop flac", "crop mp3"]
    for part in measured.values():
        assert part["agreement"] <= 1e-6
        assert set(part["sides"]) == {"crop", "whole"}


def test_many_recordings_of_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = module("recordings")
    monkeypatch.setattr(recordings, "LINKS", 4)
    ((_, (seconds,)),) = recordings.time_start([10], repeats=1).items()
    assert seconds > 0

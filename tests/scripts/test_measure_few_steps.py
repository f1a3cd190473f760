"""The measurement of models of few steps."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
RATE = 16000


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("measure_few_steps")


def test_captions_count_alike_and_seeds_are_told_apart(script: ModuleType) -> None:
    measures = script.Measures(
        vectors=torch.arange(8.0)[:, None],
        log_mel=torch.tensor([[9.0, n] for n in range(1, 9)], dtype=torch.float64),
        captions=torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]),
        seeds=torch.tensor([0, 0, 1, 1, 2, 2, 0, 0]),
    )
    assert measures.log_mel_of_captions(1).tolist() == [4.0, 5.0]
    assert measures.of([1]).vectors[:, 0].tolist() == [2.0, 3.0]
    assert measures.of([0]).log_mel_of_captions(1).tolist() == [4.0, 5.0]
    sample = measures.of([0, 2]).sample()
    assert sample.values[:, 0].tolist() == [0.0, 4.0, 6.0, 1.0, 5.0, 7.0]
    assert sample.units.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_interval_of_a_mean(script: ModuleType) -> None:
    """Of normal numbers it has their standard error."""
    values = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 3
    found = script.mean_interval(values)
    error = float(values.std() / 20)
    assert found["value"] == pytest.approx(float(values.mean()), abs=1e-3)
    assert found["low"] == pytest.approx(float(values.mean()) - 1.96 * error, abs=0.02)
    assert found["high"] == pytest.approx(float(values.mean()) + 1.96 * error, abs=0.02)


def test_what_is_nearer_is_found(script: ModuleType) -> None:
    """Copies of the recordings, a little off, are nearer than others; those are told as farther."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(30, 4, generator=generator)
    captions = torch.arange(30).repeat(2)

    def measures(off: float) -> object:
        return script.Measures(
            reference.repeat(2, 1) + off + 0.1 * torch.randn(60, 4, generator=generator),
            torch.full((60, 1), off, dtype=torch.float64),
            captions,
            torch.zeros(60, dtype=torch.int64),
        )

    sample = script.make_sample(reference, torch.arange(30))
    found = script.compared(measures(0.1), measures(1.5), sample, kind=0)
    assert found["students_kad_less_this"]["high"] < 0 < found["kad"]["low"]
    assert found["students_log_mel_db_less_this"]["value"] == pytest.approx(-1.4)


@pytest.mark.slow
def test_it_runs(tiny_model_folder: Path, tmp_path: Path) -> None:
    time = np.arange(RATE // 2) / RATE
    lines = []
    for index, word in enumerate(("deep", "bright", "warm")):
        samples = 0.3 * np.sin(2 * np.pi * 200 * (index + 1) * time)[:, None].repeat(2, axis=1)
        soundfile.write(tmp_path / f"{word}.wav", samples[: len(samples) - 999 * index], RATE)
        lines.append(json.dumps({"file": f"{word}.wav", "caption": f"{word} drum"}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    words = [
        "--teacher",
        str(tiny_model_folder),
        "--student",
        str(tiny_model_folder),
        "--steps",
        "2",
    ]
    words += ["--many", "3", "--variations", "2", "--seeds", "4", "5", "--embedder", "log-mel"]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "measure_few_steps.py"), *words, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["sounds"], found["captions"]) == (12, 3)
    assert set(found) == {"sounds", "captions", "seeds [4, 5]", "seeds [4]", "seeds [5]"}
    assert set(found["seeds [5]"]) == {"recordings", "reconstructions"}
    ways = found["seeds [4, 5]"]["recordings"]
    assert len(ways) == 4
    # Student and teacher are the same model here, but for the name.
    same = ways["teacher, 2 steps"]
    assert same["students_kad_less_this"]["value"] == 0
    assert same["students_log_mel_db_less_this"]["value"] == 0
    assert ways["teacher, 3 steps"]["students_log_mel_db_less_this"]["value"] != 0

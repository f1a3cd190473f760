"""The measure of edits passes what was left alone, and fails what it must."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from stable_audio_open.data.manifest import read_manifest

SCRIPTS = Path(__file__).parents[2] / "scripts"
RATE = 44100
WINDOW = 131072


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise and chords of 2.5 s whose level wanders, each of a family of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    random, time = np.random.default_rng(0), np.arange(round(2.5 * RATE)) / RATE
    lines = []
    for index, word in enumerate(("rain", "hum", "hiss", "organ")):
        if index % 2:
            angle = 2 * math.pi * 110 * (index + 1) * time
            sound = np.stack((np.sin(angle) + np.sin(1.5 * angle), np.cos(angle)), axis=1)
        else:
            sound = random.standard_normal((len(time), 2))
        sound *= 0.1 * (1 + 0.3 * np.sin(2 * math.pi * (2 + index) * time))[:, None]
        soundfile.write(folder / f"{word}.wav", sound, RATE, subtype="FLOAT")
        lines.append(json.dumps({"file": f"{word}.wav", "caption": word, "family": word}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def cases_module() -> ModuleType:
    return importlib.import_module("measuring_editing.cases")


@pytest.mark.slow
def test_controls_fail_and_the_untouched_passes(recordings: Path) -> None:
    module = cases_module()
    cases = module.draw_cases(
        read_manifest(recordings, "manifest.jsonl"),
        recordings,
        count=4,
        rate=RATE,
        window=WINDOW,
        seed=0,
    )
    for case in cases:
        assert case.caption != case.other
        assert module.judge(case.samples, RATE, case.span, crossfade=882).passes
        made = module.controls(case, RATE)
        assert set(made) == {"butt joints", "silence", "fades"}
        for name, samples in made.items():
            verdict = module.judge(samples, RATE, case.span, crossfade=882)
            assert not verdict.passes, (case.caption, name)


def test_too_few_recordings_are_told(recordings: Path) -> None:
    with pytest.raises(ValueError, match="found 4 recordings with a span as loud as the rest"):
        cases_module().draw_cases(
            read_manifest(recordings, "manifest.jsonl"),
            recordings,
            count=5,
            rate=RATE,
            window=WINDOW,
            seed=0,
        )


@pytest.mark.slow
def test_the_script_measures_all_ways(recordings: Path, tmp_path: Path) -> None:
    words = ["--data", recordings, "--cases", 2, "--steps", 2, "--output", tmp_path / "out.json"]
    done = subprocess.run(
        [sys.executable, SCRIPTS / "measure_editing.py", *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "out.json").read_text())
    assert (measured["loops"]["cases"], measured["long"]["cases"]) == (2, 2)
    varied = measured["variations"]
    assert varied["cases"] == 2
    for prompt in ("caption", "other"):
        assert set(varied[prompt]) == {"log-mel, dB", "latents"}
        for ways in varied[prompt].values():
            assert list(ways["distance"]) == ["0.2", "0.4", "0.6", "0.8", "1"]
            assert sum(ways["part_of_the_way"].values()) == pytest.approx(1, abs=0.01)
    found = measured["inpainting"]
    assert found["cases"] == 2
    assert found["passed"]["untouched"] == 2
    for name in ("butt joints", "silence", "fades"):
        assert found["passed"][name] == 0
    assert set(found["edges_nearer_than_pasted"]) == {
        *("reconstruction", "pasted", "mirrored", "muted", "generated", "released")
    }
    assert found["nearer_to_the_prompt"]["untouched"] == 0

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import torch

from tests.needs import needs_musicnn

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_listeners.py"


@pytest.mark.slow
@needs_musicnn
def test_distances_of_spoilt_recordings(tmp_path: Path) -> None:
    """The order is told as the figures have it."""
    data = tmp_path / "recordings"
    data.mkdir()
    time = torch.arange(16000) / 16000
    for pitch in (110, 440, 1760, 3520):
        tone = 0.4 * torch.sin(2 * math.pi * pitch * time) * torch.exp(-3 * time)
        soundfile.write(data / f"{pitch}.wav", tone.numpy(), 16000)
    output = tmp_path / "ranks.json"
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(output.read_text())
    assert done.returncode == (0 if all(report["in order"].values()) else 1), done.stderr
    order = ["same", "low-passed", "noise -10 dB", "silent"]
    for metric, values in report["found"].items():
        assert len(values) == 6
        in_order = all(values[one] < values[two] for one, two in pairwise(order))
        assert report["in order"][metric] == in_order
        assert f"{metric}: {'in order' if in_order else 'NOT in order'}" in done.stdout
    frechet, kl = report["found"]["frechet"], report["found"]["kl"]
    assert frechet["same"] == pytest.approx(0, abs=1e-3)
    assert min(frechet, key=frechet.__getitem__) == min(kl, key=kl.__getitem__) == "same"
    assert kl["noise -20 dB"] < kl["noise 0 dB"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "nowhere: no such folder; check the path"),
        (["--data", ".", "--listener", "nosuch"], "no listener 'nosuch'; allowed: clap:FOLDER"),
    ],
)
def test_mistakes_are_told_in_a_line(options: list[str], message: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", torch.zeros(1600).numpy(), 16000)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr

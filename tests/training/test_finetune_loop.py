"""`scripts/finetune_loop.py`: plain PyTorch over public functions."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stable_audio_open.pretrained import StableAudio, load

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "finetune_loop.py"


def run(model: Path, data: Path, output: Path) -> list[float]:
    command = [sys.executable, str(SCRIPT), "--model", str(model), "--data", str(data)]
    command += ["--output", str(output), "--steps", "12", "--lr", "3e-3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [float(loss) for loss in re.findall(r"^step \d+ loss (\S+)$", done.stdout, re.MULTILINE)]


@pytest.mark.slow
def test_it_trains_the_transformer_alone(
    recordings: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(recordings, data, ignore=shutil.ignore_patterns("latents"))
    losses = run(tiny_model_folder, data, tmp_path / "out")
    assert len(losses) == 12
    # Draws from an untrained autoencoder are noise for the most part.
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])
    before = load(tiny_model_folder, device="cpu").state_dict()
    tuned = load(tmp_path / "out", device="cpu")
    assert isinstance(tuned, StableAudio)
    changed = {k for k, v in tuned.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(key.startswith("transformer.") for key in changed)
    assert run(tiny_model_folder, data, tmp_path / "again") == losses


def test_it_is_short_and_knows_no_lightning() -> None:
    source = SCRIPT.read_text()
    assert len(source.splitlines()) <= 80
    assert "lightning" not in source.lower()

"""The recipe of the bundled model, in two steps, and stopped by the clock."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/bundled/autoencoder.json"
SMALL = (
    *(
        f"autoencoder.{side}.{size}"
        for side in ("encoder", "decoder")
        for size in ("channels=2", "multipliers=[1]", "strides=[32]")
    ),
    "autoencoder.latent_channels=4",
    "training.batch_size=2",
    "training.crop_samples=4096",
    "training.trainer.accelerator=cpu",
    "training.trainer.compile=false",
)


def run(folder: Path, *arguments: str, programs: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the script in a folder.

    Args:
        folder: Current directory.
        arguments: Those of the script.
        programs: Folder of programs that come before the system's.
    """
    path = os.pathsep.join([programs, str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", str(ROOT / "scripts/train_bundled.sh"), *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path.lstrip(os.pathsep), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """Two recordings to train on, and one to validate on."""
    data = tmp_path / "data/bundled"
    data.mkdir(parents=True)
    for index, listing in enumerate(("train", "train", "held_out")):
        noise = 0.1 * np.random.default_rng(index).standard_normal((8192, 2))
        soundfile.write(data / f"{index}.flac", noise, 44100)
        with (data / f"{listing}.jsonl").open("a") as file:
            file.write(f'{{"file": "{index}.flac", "captions": ["noise", "a hiss"]}}\n')
    return tmp_path


def steps(folder: Path) -> int:
    last = folder / "runs/bundled-autoencoder/checkpoints/last.ckpt"
    content: dict[str, Any] = torch.load(last, weights_only=True)
    return int(content["global_step"])


def test_weights_are_those_of_the_model_that_is_bundled_today() -> None:
    shapes = []
    for path in (CONFIG, ROOT / "configs/tiny/autoencoder.json"):
        config = read_config(path)
        assert isinstance(config, AutoencoderModelConfig)
        with torch.device("meta"):
            weights = build_autoencoder(config).state_dict()
        shapes.append({name: tensor.shape for name, tensor in weights.items()})
    assert shapes[0] == shapes[1]


@pytest.mark.slow
def test_two_steps_and_two_more(workplace: Path) -> None:
    done = run(workplace, *SMALL, "training.trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert steps(workplace) == 2
    done = run(workplace, "--minutes", "5", *SMALL, "training.trainer.max_steps=4")
    assert done.returncode == 0, done.stderr
    assert steps(workplace) == 4


@pytest.mark.slow
def test_the_clock_stops_it_with_a_checkpoint(workplace: Path) -> None:
    """In place of `timeout` stands a program that asks as soon as a step is logged."""
    fake = workplace / "programs" / "timeout"
    fake.parent.mkdir()
    fake.write_text(f"#!{sys.executable}\n{TIMEOUT}")
    fake.chmod(0o755)
    endless = "training.trainer.max_steps=1000000"
    done = run(workplace, "--minutes", "1", *SMALL, endless, programs=str(fake.parent))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "stopped after 1 minutes; the same command goes on"
    assert steps(workplace) > 0


TIMEOUT = """\
import subprocess, sys, time
from pathlib import Path

assert sys.argv[1] == "--signal=TERM"
assert 50 <= int(sys.argv[2]) <= 60
log = Path("runs/bundled-autoencoder/logs/metrics.csv")
process = subprocess.Popen(sys.argv[3:])
while process.poll() is None and not log.exists():
    time.sleep(0.1)
process.terminate()
process.wait()
sys.exit(124)
"""


@pytest.mark.parametrize("minutes", ["0", "-1", "two", ""])
def test_minutes_are_a_number(workplace: Path, minutes: str) -> None:
    done = run(workplace, "--minutes", minutes)
    assert done.returncode == 2
    assert done.stderr == (f"error: --minutes is '{minutes}'; give a whole number of at least 1\n")

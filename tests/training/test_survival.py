"""Runs that are killed, or asked to end, in processes of their own."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.jobs.train import run_training

pytestmark = pytest.mark.slow

Change = Callable[..., AutoencoderModelConfig]

COMMAND = "import sys; from stable_audio_open.cli.main import main; sys.exit(main())"
STEPS = 120
KILLS = 10


@pytest.fixture
def long_run(autoencoder_run: AutoencoderModelConfig, change: Change) -> AutoencoderModelConfig:
    every_step = CheckpointConfig(every=1, keep=2)
    return change(autoencoder_run, name="long", max_steps=STEPS, checkpoint=every_step)


def start(config: AutoencoderModelConfig, folder: Path) -> subprocess.Popen[str]:
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "train", "--config", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # One thread: sums are then taken in the same order as in this process.
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def written(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_for_a_step(process: subprocess.Popen[str], last: Path) -> None:
    before = written(last)
    while written(last) == before:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)


def test_ten_kills_change_nothing(
    long_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    config = change(long_run, output=str(tmp_path / "killed"))
    last = tmp_path / "killed" / "long" / "checkpoints" / "last.ckpt"
    rng = random.Random(0)
    for _ in range(KILLS):
        process = start(config, tmp_path)
        wait_for_a_step(process, last)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.communicate()
        torch.load(last, weights_only=True)  # whole, whenever it was
    process = start(config, tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    expected = run_training(change(long_run, output=str(tmp_path / "whole")))
    found, whole = (torch.load(path, weights_only=True) for path in (last, expected))
    assert found["global_step"] == whole["global_step"] == STEPS
    assert found["state_dict"].keys() == whole["state_dict"].keys()
    for key, tensor in whole["state_dict"].items():
        assert torch.equal(found["state_dict"][key], tensor), key
    folder = sorted(path.name for path in last.parent.iterdir() if path.suffix == ".ckpt")
    assert folder == [f"{STEPS - 1:08d}.ckpt", f"{STEPS:08d}.ckpt", "last.ckpt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_ends_well(
    long_run: AutoencoderModelConfig, change: Change, tmp_path: Path, number: signal.Signals
) -> None:
    seldom = CheckpointConfig(every=10 * STEPS)
    config = change(long_run, output=str(tmp_path), checkpoint=seldom, max_steps=100 * STEPS)
    last = tmp_path / "long" / "checkpoints" / "last.ckpt"
    log = tmp_path / "long" / "logs"
    process = start(config, tmp_path)
    while not log.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    time.sleep(1.0)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    step = torch.load(last, weights_only=True)["global_step"]
    assert 0 < step < 100 * STEPS
    assert f"stopped by {number.name} at step {step}; run the same command again" in output


def test_a_full_disk_says_so_and_keeps_the_last_checkpoint(
    long_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    """Files beyond a limit cannot be written, as on a full disk (Python ignores SIGXFSZ)."""
    config = change(long_run, output=str(tmp_path), name="full", max_steps=4)
    last = run_training(change(config, max_steps=2))
    kept, size = last.read_bytes(), last.stat().st_size
    file = tmp_path / "config.json"
    file.write_bytes(msgspec.json.encode(config))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))

    full = subprocess.run(
        [sys.executable, "-c", COMMAND, "train", "--config", str(file)],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert full.returncode == 1
    assert "the checkpoint could not be written (File too large)" in full.stderr
    assert "make room and run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    assert last.read_bytes() == kept
    assert sorted(path.name for path in last.parent.iterdir()) == [
        "00000001.ckpt",
        "00000002.ckpt",
        "last.ckpt",
    ]
    again = run_training(config)
    whole = run_training(change(config, name="roomy"))
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (again, whole)]
    assert all(torch.equal(states[0][key], tensor) for key, tensor in states[1].items())

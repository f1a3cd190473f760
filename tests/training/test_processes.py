"""Two processes on one machine, over gloo."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from stable_audio_open.build.run import run_training
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)

ROOT = Path(__file__).parents[2]


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def run_two(config: ModelConfig, folder: Path) -> Path:
    """The command as a user gives it: Lightning starts the second process."""
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    script = str(ROOT / "scripts" / "train.py")
    done = subprocess.run(
        [sys.executable, script, "--config", str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    training: Any = config.training
    return Path(training.trainer.output) / training.trainer.name / "checkpoints" / "last.ckpt"


def test_two_processes_of_two_are_one_of_four(
    diffusion_run: DiffusionModelConfig,
    change: Callable[..., DiffusionModelConfig],
    tmp_path: Path,
) -> None:
    """Items, noise, timesteps and dropout are those of the whole batch."""

    def sized(items: int, **trainer: Any) -> DiffusionModelConfig:
        config = change(diffusion_run, output=str(tmp_path), max_steps=5, **trainer)
        assert config.training is not None
        training = msgspec.structs.replace(config.training, batch_size=items, guidance_dropout=0.4)
        return msgspec.structs.replace(config, training=training)

    one = state(run_training(sized(4, name="one")))
    two = state(run_two(sized(2, name="two", devices=2, strategy="ddp"), tmp_path))
    start = state(run_training(change(sized(4, name="start"), max_steps=1)))
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        # Gradients are summed in another order; Adam divides by their size.
        torch.testing.assert_close(two[key], tensor, rtol=1e-4, atol=1e-5, msg=key)
    moved = [key for key in one if float((one[key] - start[key]).abs().max()) > 1e-3]
    assert len(moved) > 10


def test_discriminators_train_on_two_processes(
    adversarial_run: AutoencoderModelConfig,
    change: Callable[..., AutoencoderModelConfig],
    tmp_path: Path,
) -> None:
    config = change(
        adversarial_run, output=str(tmp_path), name="two", devices=2, strategy="ddp", log_every=1
    )
    last = run_two(config, tmp_path)
    steps = [state(last.with_name(f"0000000{n}.ckpt")) for n in (1, 2, 3)]
    for before, after, side in ((0, 1, "discriminator."), (1, 2, "model.")):
        keys = [key for key in steps[0] if key.startswith(side)]
        assert any(not torch.equal(steps[before][key], steps[after][key]) for key in keys)
    assert all(value.isfinite().all() for value in state(last).values())

"""The estimate of a run's memory against the run itself, and of the shipped configurations."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.build.estimate import MemoryEstimate, estimate_memory
from stable_audio_open.build.run import run_training
from stable_audio_open.build.training import new_autoencoder
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.read import encode_config, read_config
from stable_audio_open.config.training import LoraConfig
from stable_audio_open.training.memory import PeakBytes

Change = Callable[..., Any]

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "configs/stable_audio_open_1_0"
FINETUNE = ROOT / "configs/finetune"
GIB = 2**30

RUN = """
import sys
from pathlib import Path

import peft, torch
from stable_audio_open.build.run import run_training
from stable_audio_open.config.read import read_config


def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(kind)]
    return 1024 * int(line.split()[1])


layer = torch.nn.Linear(64, 64)  # the libraries' own memory
layer(torch.ones(64, 64)).sum().backward()
before = resident("VmRSS")
run_training(read_config(Path(sys.argv[1])))
print("took", resident("VmHWM") - before)
"""


def with_training(config: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, **changes)
    )


@pytest.fixture(scope="module")
def larger(diffusion_run: DiffusionModelConfig) -> DiffusionModelConfig:
    """A transformer of 28 million weights on 4 windows of 500 latents."""
    conditioning = msgspec.structs.replace(diffusion_run.conditioning, width=64)
    transformer = msgspec.structs.replace(
        diffusion_run.transformer,
        width=512,
        depth=6,
        heads=8,
        context_width=64,
        global_width=128,
    )
    config = msgspec.structs.replace(
        diffusion_run, conditioning=conditioning, transformer=transformer
    )
    sized: DiffusionModelConfig = with_training(config, batch_size=4)
    return sized


def measured(config: ModelConfig, folder: Path) -> int:
    """Resident memory of a real run at its largest, less that of before the model."""
    file = folder / "run.json"
    file.write_bytes(encode_config(config))
    command = [sys.executable, "-c", RUN, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("took")[1])


MODES: dict[str, dict[str, Any]] = {
    "none": {"activation_checkpointing": "none"},
    "full": {"activation_checkpointing": "full"},
    "lora": {"activation_checkpointing": "none", "lora": LoraConfig(rank=8)},
}


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's /proc")
@pytest.mark.parametrize("mode", MODES)
def test_estimate_is_that_of_a_real_run(
    larger: DiffusionModelConfig, change: Change, tmp_path: Path, mode: str
) -> None:
    config = change(larger, max_steps=3, name=mode, output=str(tmp_path))
    if mode == "lora":
        start = change(larger, max_steps=1, name="start", output=str(tmp_path))
        config = with_training(config, initialize=str(run_training(start)), autoencoder=None)
    config = with_training(config, **MODES[mode])
    took, estimate = measured(config, tmp_path), estimate_memory(config)
    print(mode, took / GIB, estimate.total / GIB, estimate)
    assert estimate.total == pytest.approx(took, rel=0.15)

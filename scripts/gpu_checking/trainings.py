"""Runs of two steps in mixed precision, with and without the compiler, on noise."""

import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from benchmarking.training import synthesise

from gpu_checking.stage import ROOT, Options, run
from stable_audio_open.config.read import read_config
from stable_audio_open.jobs.train import run_training

TINY = ROOT / "stable_audio_open/assets/tiny"
RUNS = {
    "autoencoder": ("autoencoder.json", ("training.crop_samples=16384",)),
    "adversarial": ("autoencoder_adversarial.json", ("training.initialize=null",)),
    "diffusion": (
        "diffusion.json",
        (f"training.initialize={TINY}", "training.autoencoder=null", "training.batch_size=4"),
    ),
}
"""Files of configs/tiny, and what is changed in them."""
CROPS = ("training.batch_size=2", "training.crop_samples=4096")
DRY = {
    "autoencoder": CROPS,
    "adversarial": CROPS,
    "diffusion": ("training.batch_size=2", "window_samples=16384"),
}
"""What is smaller when dry."""


def trainings(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Train each for two steps."""
    found: dict[str, Any] = {}
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        recordings = Path(folder) / "data"
        recordings.mkdir()
        synthesise(
            recordings,
            files=4,
            samples=22050 if options.dry else 88200,
            sample_rate=44100,
            channels=2,
            seed=0,
        )
        for name, (file, overrides) in RUNS.items():
            for is_compiled in (False,) if options.dry else (False, True):
                label = f"{name}, compiled" if is_compiled else name
                begin = perf_counter()
                try:
                    last = run_training(
                        read_config(
                            ROOT / "configs/tiny" / file,
                            [
                                *overrides,
                                *(DRY[name] if options.dry else ()),
                                *_places(recordings, label.replace(", ", "-")),
                                f"training.trainer.compile={str(is_compiled).lower()}",
                                f"training.trainer.accelerator={_accelerator(options.device)}",
                            ],
                        )
                    )
                    steps = torch.load(last, weights_only=True)["global_step"]
                    assert steps == 2, f"{steps} steps instead of 2"
                except Exception as error:  # noqa: BLE001  # the others run all the same
                    faults.append(f"{label}: {type(error).__name__}: {error}")
                    continue
                found[label] = {"seconds": perf_counter() - begin}
                if options.device.type == "cuda":
                    found[label]["peak_bytes"] = torch.cuda.max_memory_allocated(options.device)
                    torch.cuda.reset_peak_memory_stats(options.device)
                print(label, found[label], flush=True)
        os.chdir(ROOT)
    return found, faults


def _places(recordings: Path, name: str) -> list[str]:
    return [
        f"data.path={recordings}",
        "data.workers=0",
        "training.trainer.max_steps=2",
        "training.trainer.precision=bf16-mixed",
        "training.trainer.devices=1",
        f"training.trainer.name={name}",
    ]


def _accelerator(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else "gpu"


if __name__ == "__main__":
    sys.exit(run(trainings))

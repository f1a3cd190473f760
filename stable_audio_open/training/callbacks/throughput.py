"""How fast a run is, and how much memory it takes."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from stable_audio_open.evaluation.speed import process_memory

GIB = 2**30


class Throughput(pl.Callback):
    """Log speed and memory with every line of the log.

    `train/steps_per_second` and `train/audio_seconds_per_second` (of all processes together) count
    all that the run did since the last line: validation, evaluations, demos and checkpoints too.
    `train/memory_gib` is the most memory that tensors took on the GPU so far, or, on the CPU, the
    process.

    Args:
        seconds: Seconds of audio in an item.
        every: Steps between lines of the log.
    """

    def __init__(self, *, seconds: float, every: int) -> None:
        self.seconds = seconds
        self.every = every
        self._since = 0.0
        self._step = 0
        self._audio = 0.0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock."""
        self._since, self._step, self._audio = time.perf_counter(), trainer.global_step, 0.0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        *_: int,
    ) -> None:
        """Count the batch, and log when it is time."""
        del outputs
        self._audio += len(batch["file"]) * self.seconds * trainer.world_size
        steps = trainer.global_step - self._step
        # Lightning writes at these steps; where gradients accumulate, several batches share one.
        if steps == 0 or trainer.global_step % self.every:
            return
        now = time.perf_counter()
        passed = now - self._since
        pl_module.log_dict(
            {
                "train/steps_per_second": steps / passed,
                "train/audio_seconds_per_second": self._audio / passed,
                "train/memory_gib": peak_memory(pl_module.device) / GIB,
            },
            batch_size=1,
        )
        self._since, self._step, self._audio = now, trainer.global_step, 0.0


def peak_memory(device: torch.device) -> int:
    """Return the most bytes so far: of tensors on a GPU, of the whole process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_memory() or 0

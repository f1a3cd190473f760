"""The checkpoint that a run is resumed from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class LastCheckpoint(pl.Callback):
    """Write `path` every so many steps, and after the last step of a run whatever its number.

    Lightning's own would miss a last step between two intervals, or write it when the epoch is
    closed: a longer run would not go on exactly from there.

    Args:
        path: The file, replaced each time.
        every: Steps between checkpoints.
    """

    def __init__(self, path: Path, *, every: int) -> None:
        self.path = path
        self.every = every
        self._saved = 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take note of where a resumed run starts."""
        self._saved = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if it is time."""
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps
        # Where gradients accumulate, several batches end at the same step.
        if due and step != self._saved:
            self._saved = step
            # Lightning's word for: optimisers and counters too. Reading is with weights_only=True.
            trainer.save_checkpoint(self.path, weights_only=False)

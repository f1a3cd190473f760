"""Unusable recordings, as they turn up in a run."""

from typing import Any

import pytorch_lightning as pl

from stable_audio_open.data.faults import Faults


class UnreadableRecordings(pl.Callback):
    """Note what a batch could not read; the run stops when it is too much."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Look at the batch; its items may be fewer than usual."""
        del trainer
        for fault in batch["faults"]:
            self.faults.add(*fault)
        module.log("train/unusable_recordings", float(len(self.faults.reasons)), batch_size=1)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Look at the batch."""
        del trainer, module
        for fault in batch["faults"]:
            self.faults.add(*fault)

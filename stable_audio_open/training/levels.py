"""Levels of reconstructions against those of their originals: a model that sinks into silence."""

import logging
from typing import Any

import pytorch_lightning as pl
from jaxtyping import Float
from torch import Tensor

logger = logging.getLogger(__name__)

MOST_LOST = 20.0
"""Decibels that a reconstruction may lose without a word."""
AUDIBLE = 1e-3
"""RMS of an original (full scale is 1) below which nothing is asked of its level: -60 dB."""
FIRST_STEP = 100
"""Steps of training that are passed over; an untrained decoder may be quiet."""


def level_lost(
    decoded: Float[Tensor, "batch channels time"], original: Float[Tensor, "batch channels time"]
) -> Float[Tensor, "batch"]:
    """Return by how many dB the RMS of each item has fallen: 0 where the original is silent."""
    before, after = (audio.float().square().mean(dim=(1, 2)) for audio in (original, decoded))
    lost = 10 * (before.clamp(min=1e-12) / after.clamp(min=1e-12)).log10()
    return lost.where(before > AUDIBLE**2, 0)


def share_too_quiet(lost: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Return the share of items that have lost more than 20 dB."""
    return (lost > MOST_LOST).float().mean()


def warn_too_quiet(where: str, which: str) -> None:
    """Tell of reconstructions that have lost their level.

    Args:
        where: Such as `validation at step 100`.
        which: Such as `12 % of the reconstructions`.
    """
    logger.warning(
        "%s: %s lost more than %g dB of level against their originals; unless this passes, lower "
        "the learning rate, change the weights in training.loss, or set "
        "training.trainer.compile=false",
        where,
        which,
        MOST_LOST,
    )


class TrainingLevel(pl.Callback):
    """Warn once where a batch of reconstructions is, on average, 20 dB quieter than its originals.

    Goes by `train/level_lost`, which autoencoder trainings log.

    Args:
        every: Steps between looks.
    """

    def __init__(self, *, every: int) -> None:
        self.every = every
        self._warned = False

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Look, when it is time."""
        step = trainer.global_step
        if self._warned or step < FIRST_STEP or step % self.every:
            return
        lost = trainer.callback_metrics.get("train/level_lost")
        if lost is not None and float(lost) > MOST_LOST and trainer.is_global_zero:
            self._warned = True
            warn_too_quiet(f"step {step}", "the reconstructions of the batch")

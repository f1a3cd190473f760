"""The Lightning trainer of a run."""

import logging
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger, Logger

from stable_audio_open.training.callbacks.checkpoints import Checkpoints
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.preemption import StopOnSignal
from stable_audio_open.training.callbacks.progress import StepProgress
from stable_audio_open.training.checkpoint_io import AtomicCheckpointIO

__all__ = ["Callback", "Trainer", "fit", "make_trainer"]

NEEDLESS = (
    r"Found \d+ module\(s\) in eval mode",  # averaged weights, a frozen text encoder
    "The 'train_dataloader' does not have many workers",  # `data.workers` says how many
    r"You defined a `validation_step` but have no `val_dataloader`",  # it is a choice
    r"The number of training batches \(\d+\) is smaller than the logging",  # steps count
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # Discriminators look at complex spectra; what is not compiled there is computed as ever.
    "Torchinductor does not support code generation for complex operators",
)
"""Warnings."""

LoggerName = Literal["csv", "tensorboard", "wandb"]


def make_trainer(
    *,
    folder: Path,
    measurements: Measurements,
    logger: LoggerName,
    checkpoint_every: int,
    checkpoints_kept: int,
    best: str | None = None,
    first: Sequence[Callback] = (),
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Trainer:
    """Return a trainer that writes checkpoints and a log to a folder.

    Args:
        folder: Of the run; `checkpoints/last.ckpt` in it is where a resumed run goes on.
        measurements: Of the run.
        logger: CSV files need nothing; the others their packages.
        checkpoint_every: Steps between checkpoints.
        checkpoints_kept: How many are kept, besides the last.
        best: Measured value of which the checkpoint with the best is kept too.
        first: Callbacks that may end the run, before checkpoints are written.
        callbacks: More callbacks.
        settings: Of Lightning's `Trainer`.
    """
    with _without_needless_words():
        return Trainer(
            max_epochs=-1,
            logger=_logger(logger, folder),
            callbacks=[
                StopOnSignal(),
                measurements,
                *first,
                Checkpoints(
                    folder / "checkpoints",
                    measurements,
                    every=checkpoint_every,
                    keep=checkpoints_kept,
                    best=best,
                ),
                StepProgress(),
                LearningRateMonitor(logging_interval="step"),
                *callbacks,
            ],
            plugins=[AtomicCheckpointIO()],
            default_root_dir=folder,
            enable_checkpointing=False,  # ours are
            enable_model_summary=False,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=None,  # every so many batches, whatever the epoch
            # The data module brings its own sampler.
            use_distributed_sampler=False,
            **settings,
        )


def fit(
    trainer: Trainer,
    task: pl.LightningModule,
    batches: pl.LightningDataModule,
    *,
    start: Path | None,
) -> None:
    """Train to the last step, from a checkpoint where one is given."""
    with _without_needless_words():
        trainer.fit(task, datamodule=batches, ckpt_path=start, weights_only=True)


@contextmanager
def _without_needless_words() -> Iterator[None]:
    """Hide warnings of Lightning about what is meant to be so here, and what we say ourselves.

    Its log tells of stops, restored states and devices that are not there; warnings stay.
    """
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in NEEDLESS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        log.setLevel(level)


def _logger(name: LoggerName, folder: Path) -> Logger:
    match name:
        case "csv":
            return CSVLogger(folder, name="logs")
        case "tensorboard":
            from pytorch_lightning.loggers import TensorBoardLogger

            return TensorBoardLogger(folder, name="logs", version="")
        case "wandb":
            from pytorch_lightning.loggers import WandbLogger

            folder.mkdir(parents=True, exist_ok=True)
            # The same run goes on after a resume.
            return WandbLogger(
                name=folder.name,
                id=_wandb_run(folder),
                resume="allow",
                save_dir=folder,
                project="stable-audio-open",
            )


def _wandb_run(folder: Path) -> str:
    """Return the identity of this folder's run, drawn when it starts."""
    file = folder / "wandb_run"
    if not file.is_file():
        file.write_text(secrets.token_hex(8))
    return file.read_text()

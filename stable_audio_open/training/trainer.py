"""The Lightning trainer of a run."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger

from stable_audio_open.training.last_checkpoint import LastCheckpoint

__all__ = ["Callback", "Trainer", "fit", "make_trainer"]

LoggerName = Literal["csv", "tensorboard", "wandb"]


def make_trainer(
    *,
    folder: Path,
    logger: LoggerName,
    checkpoint_every: int,
    checkpoints_kept: int,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Trainer:
    """Return a trainer that writes checkpoints and a log to a folder.

    Args:
        folder: Of the run; `checkpoints/last.ckpt` in it is where a resumed run goes on.
        logger: CSV files need nothing; the others their packages.
        checkpoint_every: Steps between checkpoints.
        checkpoints_kept: How many are kept, besides the last.
        callbacks: More callbacks.
        settings: Of Lightning's `Trainer`.
    """
    checkpoints = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="{step:08d}",
        every_n_train_steps=checkpoint_every,
        monitor="step",
        mode="max",
        save_top_k=checkpoints_kept,
        auto_insert_metric_name=False,
    )
    return Trainer(
        max_epochs=-1,
        logger=_logger(logger, folder),
        callbacks=[
            checkpoints,
            LastCheckpoint(folder / "checkpoints" / "last.ckpt", every=checkpoint_every),
            LearningRateMonitor(logging_interval="step"),
            *callbacks,
        ],
        default_root_dir=folder,
        enable_model_summary=False,
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
    with _without_needless_warnings():
        trainer.fit(task, datamodule=batches, ckpt_path=start, weights_only=True)


@contextmanager
def _without_needless_warnings() -> Iterator[None]:
    """Hide warnings of Lightning about what is meant to be so here, and about its own code."""
    with warnings.catch_warnings():
        for message in (
            r"Found \d+ module\(s\) in eval mode",  # averaged weights, a frozen text encoder
            "The 'train_dataloader' does not have many workers",  # `data.workers` says how many
            "Checkpoint directory .* exists and is not empty",  # that of the run to resume
            r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        ):
            warnings.filterwarnings("ignore", message)
        yield


def _logger(name: LoggerName, folder: Path) -> Logger:
    match name:
        case "csv":
            return CSVLogger(folder, name="logs")
        case "tensorboard":
            from pytorch_lightning.loggers import TensorBoardLogger

            return TensorBoardLogger(folder, name="logs")
        case "wandb":
            from pytorch_lightning.loggers import WandbLogger

            folder.mkdir(parents=True, exist_ok=True)
            return WandbLogger(name=folder.name, save_dir=folder, project="stable-audio-open")

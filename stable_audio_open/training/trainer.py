"""The Lightning trainer of a run."""

import logging
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger

from stable_audio_open.data.faults import Faults
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.training.callbacks.checkpoints import Checkpoints
from stable_audio_open.training.callbacks.demos import DemoWriter
from stable_audio_open.training.callbacks.early_stopping import EarlyStopping
from stable_audio_open.training.callbacks.evaluated.evaluations import Evaluations
from stable_audio_open.training.callbacks.faults import UnreadableRecordings
from stable_audio_open.training.callbacks.finite import SkipNonFinite
from stable_audio_open.training.callbacks.listed_recordings import ListedRecordings
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.preemption import AskedToEnd, StopOnSignal
from stable_audio_open.training.callbacks.progress import StepProgress
from stable_audio_open.training.callbacks.throughput import Throughput
from stable_audio_open.training.callbacks.without_gradient import ParametersWithoutGradient
from stable_audio_open.training.checkpoints.checkpoint_io import AtomicCheckpointIO
from stable_audio_open.training.failures import raise_if_worker
from stable_audio_open.training.levels import TrainingLevel
from stable_audio_open.training.parallel.strategy import ShardedStrategy
from stable_audio_open.training.run_log import BeginLog, RunLog

NEEDLESS = (
    r"Found \d+ module\(s\) in eval mode",  # averaged weights, a frozen text encoder
    "The 'train_dataloader' does not have many workers",  # `data.workers` says how many
    # Where processes are not forked: a worker begins with the epoch that it reads.
    "Consider setting `persistent_workers=True`",
    r"You defined a `validation_step` but have no `val_dataloader`",  # it is a choice
    r"The number of training batches \(\d+\) is smaller than the logging",  # steps count
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # Discriminators look at complex spectra; what is not compiled there is computed as ever.
    "Torchinductor does not support code generation for complex operators",
)
"""Warnings."""

logger = logging.getLogger(__name__)

LoggerName = Literal["csv", "tensorboard", "wandb"]


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """How long, where and how exactly a run trains, and what it writes."""

    folder: Path
    """Folder of the run; `checkpoints/last.ckpt` in it is where a resumed run goes on."""
    max_steps: int
    """Optimiser steps until the run ends."""
    item_seconds: float
    """Seconds of audio that an item of a batch stands for."""
    logger: LoggerName = "csv"
    """CSV files need nothing; the others their packages."""
    log_every: int = 50
    """Steps between logged values."""
    checkpoint_every: int = 10000
    """Steps between checkpoints."""
    checkpoints_kept: int = 3
    """How many are kept, besides the last."""
    best: str | None = None
    """Measured value of which the checkpoint with the best is kept too."""
    accelerator: str = "auto"
    """Lightning's name of the kind of device."""
    devices: int | Literal["auto"] = "auto"
    """How many of them on each machine."""
    nodes: int = 1
    """Machines."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Number format, in Lightning's terms."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How processes share the work."""
    compiled: bool = False
    """The networks of the task are compiled."""
    accumulate: int = 1
    """Batches per optimiser step."""
    gradient_clip: float | None = None
    """Largest norm of the gradient."""
    most_skipped: int = 10
    """Steps in a row without a finite gradient after which the run stops."""
    validate_every: int = 1000
    """Steps between validations."""


def train(
    task: pl.LightningModule,
    batches: pl.LightningDataModule,
    *,
    settings: TrainerSettings,
    measurements: Measurements,
    faults: Faults,
    listed: ListedRecordings | None = None,
    early_stopping: EarlyStopping | None = None,
    evaluations: Evaluations | None = None,
    demos: DemoWriter | None = None,
    start: Path | None = None,
) -> None:
    """Train to the last step, watched for faults of recordings, gradients and levels.

    Args:
        task: What is trained.
        batches: What it is trained on.
        settings: Length, place and precision of the run.
        measurements: Measurements of the run.
        faults: Unusable recordings of the run.
        listed: Tells how the recordings have changed since the run was interrupted.
        early_stopping: Ends the run when it gets no better.
        evaluations: Measures metrics now and then.
        demos: Writes sounds now and then.
        start: Checkpoint to go on from.
    """
    watching = [
        ParametersWithoutGradient(),
        SkipNonFinite(most_in_row=settings.most_skipped),
        UnreadableRecordings(faults),
        TrainingLevel(every=settings.log_every),
        Throughput(seconds=settings.item_seconds, every=settings.log_every),
    ]
    trainer = make_trainer(
        settings,
        measurements=measurements,
        by_hand=not task.automatic_optimization,
        early_stopping=early_stopping,
        callbacks=[*watching, *filter(None, (listed, evaluations, demos))],
    )
    fit(trainer, task, batches, start=start)


def make_trainer(
    settings: TrainerSettings,
    *,
    measurements: Measurements,
    by_hand: bool = False,
    early_stopping: EarlyStopping | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """Return Lightning's trainer, which writes checkpoints and a log to the run's folder.

    Args:
        settings: Length, place and precision of the run.
        measurements: What the run measures.
        by_hand: The module takes the steps of two optimisers in turn, and clips gradients itself.
        early_stopping: Comes before the checkpoints, so that the last one is written.
        callbacks: Others, which come after them.
    """
    with _without_needless_words():
        return pl.Trainer(
            max_epochs=-1,
            max_steps=settings.max_steps,
            logger=_logger(settings.logger, settings.folder),
            log_every_n_steps=settings.log_every,
            callbacks=[
                StopOnSignal(compiled=settings.compiled),
                BeginLog(),
                measurements,
                *filter(None, (early_stopping,)),
                Checkpoints(
                    settings.folder / "checkpoints",
                    measurements,
                    every=settings.checkpoint_every,
                    keep=settings.checkpoints_kept,
                    best=settings.best,
                ),
                StepProgress(compiled=settings.compiled),
                LearningRateMonitor(logging_interval="step"),
                *callbacks,
            ],
            plugins=[AtomicCheckpointIO()],
            default_root_dir=settings.folder,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,
            strategy=_strategy(settings, by_hand=by_hand),
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=None if by_hand else settings.gradient_clip,
            val_check_interval=settings.validate_every * settings.accumulate,
            check_val_every_n_epoch=None,  # every so many batches, whatever the epoch
            enable_checkpointing=False,  # ours are
            enable_model_summary=False,
            num_sanity_val_steps=0,
            # The data module brings its own sampler.
            use_distributed_sampler=False,
        )


def fit(
    trainer: pl.Trainer,
    task: pl.LightningModule,
    batches: pl.LightningDataModule,
    *,
    start: Path | None,
) -> None:
    """Train to the last step, from a checkpoint where one is given, or until a signal ends it.

    Raises:
        ChildProcessError: A data worker was killed.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set untyped
    with _without_needless_words():
        try:
            trainer.fit(task, datamodule=batches, ckpt_path=start, weights_only=True)
        except AskedToEnd:
            return
        except Exception as error:
            # It reaches compilers and data workers too, and what they leave undone fails.
            # But a full disk, in saving what there is, is no work of the signal.
            asked = any(isinstance(one, StopOnSignal) and one.received for one in callbacks)
            saving = any(isinstance(one, Checkpoints) and one.amid_saving for one in callbacks)
            if asked and not saving:
                logger.debug("what the signal has broken", exc_info=error)
                return
            raise_if_worker(error)
            raise


def _strategy(settings: TrainerSettings, *, by_hand: bool) -> str | ShardedStrategy:
    """Return Lightning's name, or our own for `fsdp`, which Lightning has for GPUs alone."""
    match settings.strategy:
        case "fsdp":
            return ShardedStrategy()
        # With two optimisers each step leaves weights without gradient.
        case "ddp" | "auto" if by_hand and _several_processes(settings):
            return "ddp_find_unused_parameters_true"
        case _:
            return settings.strategy


def _several_processes(settings: TrainerSettings) -> bool:
    """Say whether Lightning will start, or expect, more than one."""
    devices = settings.devices
    if devices == "auto":
        devices = 1 if settings.accelerator == "cpu" else torch.cuda.device_count()
    return devices * settings.nodes > 1


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
            return RunLog(folder)
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
        replace_bytes(file, secrets.token_hex(8).encode())
    return file.read_text()

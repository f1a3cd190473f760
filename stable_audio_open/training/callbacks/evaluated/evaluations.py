"""Metrics taken during training, so that there is an answer to when to stop."""

import logging
import shutil
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from torch import nn

from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.preemption import StopOnSignal
from stable_audio_open.training.failures import failure_logged
from stable_audio_open.training.modes import in_eval_mode
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

log = logging.getLogger(__name__)

KIND = "evaluation"


@runtime_checkable
class Evaluation(Protocol):
    """Metrics of a model on a fixed set."""

    @property
    def names(self) -> tuple[str, ...]:
        """What `values` finds."""

    def prepare(self) -> None:
        """Get ready what every evaluation needs; called by the first process alone."""

    def share(self, model: nn.Module, folder: Path, *, rank: int, processes: int) -> None:
        """Make this process' share of what is measured, in a folder that all of them see."""

    def values(self, model: nn.Module, folder: Path) -> dict[str, float]:
        """Measure, by name; called by the first process once all have made their shares."""


class Evaluations(pl.Callback):
    """Evaluate the averaged model every so many steps, and at the end of the run.

    The values are logged as `evaluation/NAME` and announced to what follows measurements. What is
    made and found lies in `folder/step_N`. What cannot be generated or measured is logged and does
    not end the training, which goes on as if nothing had been evaluated.

    A run that a signal asks to end is not held up: it evaluates when it goes on. While the first
    process measures, the others wait, at most as long as the process group allows (30 minutes by
    default): the fixed set should be small.

    Args:
        evaluation: What is measured.
        measurements: Measurements of the run, earlier in the list of callbacks.
        folder: Folder of all evaluations.
        every: Steps.
        at_start: Evaluate before the first step too.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        measurements: Measurements,
        *,
        folder: Path,
        every: int,
        at_start: bool,
    ) -> None:
        self.evaluation = evaluation
        self.measurements = measurements
        self.folder = folder
        self.every = every
        self.at_start = at_start
        self._ready = False
        self._tried = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Get ready; evaluate what a run that was cut off here could not, or the start."""
        self._prepare(trainer)
        if self._is_due(trainer) or (self.at_start and trainer.global_step == 0):
            self._evaluate(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Evaluate if it is time."""
        if self._is_due(trainer) and not _asked_to_end(trainer):
            self._evaluate(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate what came out, wherever the run ended."""
        if trainer.global_step > 0 and not _asked_to_end(trainer):
            self._evaluate(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate what a run could not that was cut off after its last step.

        Lightning starts no training then, and has put the model away already.
        """
        if self._ready or self.measurements.has(KIND, trainer.global_step):
            return
        self._prepare(trainer)
        pl_module.to(trainer.strategy.root_device)
        self._evaluate(trainer, pl_module)
        pl_module.cpu()

    def _prepare(self, trainer: pl.Trainer) -> None:
        self._ready = True
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.evaluation.prepare()
        trainer.strategy.barrier()
        if not trainer.strategy.reduce_boolean_decision(self.folder.is_dir(), all=True):
            raise ValueError(
                f"{self.folder}: not every process sees this folder, in which they share out an "
                "evaluation; let training.trainer.output be on a disk that all machines share"
            )

    def _is_due(self, trainer: pl.Trainer) -> bool:
        return trainer.global_step > 0 and trainer.global_step % self.every == 0

    def _evaluate(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        step = trainer.global_step
        # Where gradients accumulate, several batches end at the same step.
        if step == self._tried or self.measurements.has(KIND, step):
            return
        self._tried = step
        values = self._measured(trainer, module)
        if values is None:
            return
        named = {f"{KIND}/{name}": value for name, value in values.items()}
        if trainer.is_global_zero:
            shown = ", ".join(f"{name} {value:.5g}" for name, value in values.items())
            log.info("evaluation at step %d: %s", step, shown)
        for logger in trainer.loggers:
            logger.log_metrics(named, step=max(0, step - 1))  # as Lightning counts steps: from 0
        self.measurements.announce(trainer, named, extra=step % self.every != 0)

    def _measured(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, float] | None:
        """Return the values, the same in all processes; None where one of them failed."""
        assert isinstance(module, DiffusionTraining | AutoencoderTraining)
        step, rank = trainer.global_step, trainer.global_rank
        folder = self.folder / f"step_{step:08d}"
        if rank == 0:
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
        trainer.strategy.barrier()
        made, found = False, None
        with module.averaged() as model, in_eval_mode(model):
            with failure_logged("the evaluation", step):
                self.evaluation.share(model, folder, rank=rank, processes=trainer.world_size)
                made = True
            # All wait here for the last one.
            if trainer.strategy.reduce_boolean_decision(made, all=True) and rank == 0:
                with failure_logged("the evaluation", step):
                    found = self.evaluation.values(model, folder)
        values: dict[str, float] | None = trainer.strategy.broadcast(found)
        return values


def _asked_to_end(trainer: pl.Trainer) -> bool:
    """Say whether a signal asks the run to end."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set untyped
    return any(one.asked for one in callbacks if isinstance(one, StopOnSignal))

"""Metrics taken during training, so that there is an answer to when to stop."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from torch import nn

from stable_audio_open.training.autoencoder import AutoencoderTraining
from stable_audio_open.training.diffusion import DiffusionTraining
from stable_audio_open.training.measurements import Measurements, announce
from stable_audio_open.training.modes import in_eval_mode

log = logging.getLogger(__name__)

PREFIX = "evaluation/"


@runtime_checkable
class Evaluation(Protocol):
    """Metrics of a model on a fixed set."""

    def prepare(self) -> None:
        """Write what every evaluation needs; called by the first process, before the first step."""

    def share(self, model: nn.Module, folder: Path, *, rank: int, processes: int) -> None:
        """Make this process' share of what is measured, in a folder that all of them see."""

    def values(self, model: nn.Module, folder: Path) -> dict[str, float]:
        """Measure, by name; called by the first process once all have made their shares."""


class Evaluations(pl.Callback):
    """Evaluate the averaged model every so many steps, and after the last.

    The values are logged as `evaluation/NAME` and announced to what follows measurements. What is
    made and found lies in `folder/step_N`. An evaluation that fails is logged and never ends the
    training. The training goes on as if none had been made.

    Args:
        evaluation: What is measured.
        measurements: Of the run, earlier in the list of callbacks.
        folder: Of all evaluations.
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
        self._tried = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Get ready; evaluate what a run that was cut off here could not, or the start."""
        if trainer.is_global_zero:
            self.evaluation.prepare()
        trainer.strategy.barrier()
        if self._is_due(trainer) or (self.at_start and trainer.global_step == 0):
            self._evaluate(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Evaluate if it is time; a run that was asked to end does so when it is resumed."""
        if self._is_due(trainer) and not trainer.should_stop:
            self._evaluate(trainer, pl_module)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        step = trainer.global_step
        return step > 0 and (step % self.every == 0 or step == trainer.max_steps)

    def _evaluate(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        step = trainer.global_step
        # Where gradients accumulate, several batches end at the same step.
        if step == self._tried or self.measurements.has(PREFIX, step):
            return
        self._tried = step
        assert isinstance(module, DiffusionTraining | AutoencoderTraining)
        folder = self.folder / f"step_{step:08d}"
        rank, processes = trainer.global_rank, trainer.world_size
        with module.averaged() as model, in_eval_mode(model):
            made, found = False, None
            with _failure_logged(step):
                self.evaluation.share(model, folder, rank=rank, processes=processes)
                made = True
            # All wait here for the last one.
            if trainer.strategy.reduce_boolean_decision(made, all=True) and rank == 0:
                with _failure_logged(step):
                    found = self.evaluation.values(model, folder)
        values: dict[str, float] | None = trainer.strategy.broadcast(found)
        if values is None:
            return
        named = {PREFIX + name: value for name, value in values.items()}
        shown = ", ".join(f"{name} {value:.5g}" for name, value in values.items())
        log.info("evaluation at step %d: %s", step, shown)
        for logger in trainer.loggers:
            logger.log_metrics(named, step=max(0, step - 1))  # as Lightning counts steps: from 0
        announce(trainer, named)


@contextmanager
def _failure_logged(step: int) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, ArithmeticError, RuntimeError) as error:
        log.warning("the evaluation at step %d failed: %s", step, error)

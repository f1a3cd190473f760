"""Where a run stands, for who waits for it."""

import logging
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar

from stable_audio_open.progress import RunProgress, run_progress, speed_words

IN_A_BAR = 1.0
"""Seconds between values."""
FIRST = 3
"""Steps of a compiled run that are told one by one."""

log = logging.getLogger(__name__)


class StepProgress(ProgressBar):
    """Show the steps of the whole run: a bar in a terminal, else a line in the log at times.

    Lightning's bars count the batches of an epoch, which says little where runs end by steps.

    Where the networks are compiled, the first steps take minutes: this is told before, and the
    first steps are told one by one.

    Args:
        every: Seconds between lines; values in a bar are never older than a second.
        compiled: The networks are compiled.
    """

    def __init__(self, *, every: float = 60.0, compiled: bool = False) -> None:
        super().__init__()
        self.every = every
        self._compiling = FIRST if compiled else 0
        self._enabled = True
        self._bar = ExitStack()
        self._show: RunProgress | None = None
        self._start = self._last = (0.0, 0)

    def enable(self) -> None:
        """Show."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start at the step at which the run goes on."""
        super().on_train_start(trainer, pl_module)
        self._start = self._last = time.perf_counter(), trainer.global_step
        if not (self._enabled and trainer.is_global_zero):
            return
        log.info(
            "training on %s, %s, from step %s to %s",
            _devices(trainer),
            trainer.precision,
            f"{trainer.global_step:,}",
            f"{trainer.max_steps:,}",
        )
        if self._compiling:
            log.info("compiling the networks, some minutes the first time")
        if sys.stderr.isatty():
            bar = run_progress("training", trainer.max_steps, done=trainer.global_step)
            self._show = self._bar.enter_context(bar)
            self.every = min(self.every, IN_A_BAR)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        """Show the step and what it was logged with."""
        super().on_train_batch_end(trainer, pl_module, *arguments)
        if not (self._enabled and trainer.is_global_zero):
            return
        step = trainer.global_step
        if self._show is not None:
            self._show(step)
        now = time.perf_counter()
        since, before = self._last
        if step == before or (now - since < self.every and not self._compiling):
            return
        self._last = now, step
        first_of_all = self._compiling > 0
        self._compiling = max(0, self._compiling - 1)
        # Reading a value waits for the device.
        values = [f"{n} {float(v):.4g}" for n, v in trainer.progress_bar_metrics.items()]
        if self._show is not None:
            self._show(step, ", ".join(values))
            return
        if first_of_all:
            self._start = self._last  # what is left is told by steps that compile nothing
            words = ", ".join([*values, f"{now - since:.1f} s"])
            log.info("step %s of %s: %s", f"{step:,}", f"{trainer.max_steps:,}", words)
            return
        speed = (step - before) / (now - since)
        # With validations and evaluations, of which not every line has one.
        started, first = self._start
        a_step = (now - started) / (step - first)
        left = timedelta(seconds=round((trainer.max_steps - step) * a_step))
        words = ", ".join([*values, speed_words(speed), f"{left} left"])
        log.info("step %s of %s: %s", f"{step:,}", f"{trainer.max_steps:,}", words)

    def on_exception(self, *_: Any) -> None:
        """Leave the bar as it stands; Lightning calls no `teardown` then."""
        self.teardown()

    def teardown(self, *_: Any, **__: Any) -> None:
        """Leave the bar as it stands, and standard error to others."""
        self._show = None
        self._bar.close()


def _devices(trainer: pl.Trainer) -> str:
    """Say where a run computes, and by how many processes."""
    device = trainer.strategy.root_device
    name = "the CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return name if trainer.world_size == 1 else f"{name}, {trainer.world_size} processes"

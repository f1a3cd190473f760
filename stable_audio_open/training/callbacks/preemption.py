"""A run that is asked to end: SLURM's preemption, a time limit, an operator."""

import logging
import os
import signal
import threading
from typing import Any

import pytorch_lightning as pl

logger = logging.getLogger(__name__)

# Windows has no SIGUSR1.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class AskedToEnd(BaseException):
    """Ends a step that is not done; like `KeyboardInterrupt`, no ordinary error."""


class StopOnSignal(pl.Callback):
    """End the run after the batch in hand when SIGTERM or SIGUSR1 arrives at any process.

    `Checkpoints`, which must come later in the list of callbacks, then saves. A first step that
    compiles takes minutes, and is ended at once: there is nothing new to save. (Where Lightning
    has started other processes, they would wait for this one for ever: there it is waited for.)

    Args:
        compiled: The networks are compiled.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self.compiled = compiled
        self._received: signal.Signals | None = None
        self.asked = False
        """Whether a signal has arrived at any process, as all of them know it."""
        self._at_once = False
        self._process = os.getpid()
        self._start = 0
        self._previous: dict[signal.Signals, Any] = {}

    def setup(self, *_: Any, **__: Any) -> None:
        """Take note of what signals do before Lightning takes them."""
        # Python hands signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.getsignal(number) for number in SIGNALS}

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take the signals over from Lightning, which would not save on SIGTERM."""
        self._start, self._process = trainer.global_step, os.getpid()
        self._at_once = self.compiled and _ends_alone(trainer)
        for number in self._previous:
            signal.signal(number, self._remember)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """End the run if a process was asked to; all of them agree on the step."""
        self._at_once = False
        asked = self._received is not None
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            self._tell(trainer)
            self.asked = trainer.should_stop = True

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back; Lightning calls no `teardown` then."""
        del module, exception
        if self._received is not None:
            self._tell(trainer)
        self.teardown()

    def teardown(self, *_: Any, **__: Any) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    @property
    def received(self) -> bool:
        """Whether a signal has arrived at this process."""
        return self._received is not None

    def _tell(self, trainer: pl.Trainer) -> None:
        name = self._received.name if self._received else "a signal to another process"
        new = "" if trainer.global_step > self._start else ", before a step was done"
        logger.warning(
            "stopped by %s at step %d%s; run the same command again to go on from there",
            name,
            trainer.global_step,
            new,
        )

    def _remember(self, number: int, _frame: Any) -> None:
        if os.getpid() != self._process:
            return  # a data worker, which inherits this, and which the run ends
        self._received = signal.Signals(number)
        if self._at_once:
            self._at_once = False
            raise AskedToEnd


def _ends_alone(trainer: pl.Trainer) -> bool:
    """Say whether no process waits for this one that a signal does not reach as well."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return trainer.world_size == 1 or bool(
        environment is not None and environment.creates_processes_externally
    )

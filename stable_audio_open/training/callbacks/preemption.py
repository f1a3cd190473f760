"""A run that is asked to end: SLURM's preemption, a time limit, an operator."""

import logging
import signal
import threading
from typing import Any

import pytorch_lightning as pl

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopOnSignal(pl.Callback):
    """End the run after the batch in hand when SIGTERM or SIGUSR1 arrives at any process.

    `Checkpoints`, which must come later in the list of callbacks, then saves.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self.asked = False
        """Whether a signal has arrived at any process, as all of them know it."""
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        """Take the signals over from Lightning, which would not save on SIGTERM."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python hands signals to the main thread alone
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._remember)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """End the run if a process was asked to; all of them agree on the step."""
        asked = self._received is not None
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            name = self._received.name if self._received else "a signal to another process"
            logger.warning(
                "stopped by %s at step %d; run the same command again to go on from there",
                name,
                trainer.global_step,
            )
            self.asked = trainer.should_stop = True

    def on_exception(self, *_: Any) -> None:
        """Give the signals back; Lightning calls no `teardown` then."""
        self.teardown()

    def teardown(self, *_: Any, **__: Any) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _remember(self, number: int, _frame: Any) -> None:
        self._received = signal.Signals(number)

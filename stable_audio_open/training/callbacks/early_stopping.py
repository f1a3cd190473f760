"""The end of a run that gets no better."""

import logging

import pytorch_lightning as pl

from stable_audio_open.training.callbacks.measurements import (
    Measurement,
    Measurements,
    is_better,
    value_of,
    worst,
)

logger = logging.getLogger(__name__)


class EarlyStopping(pl.Callback):
    """Stop once a value was not better for so many measurements in a row.

    `Checkpoints`, which must come later in the list of callbacks, then saves. (Lightning's own
    counts validations, whether or not the value was measured anew.)

    Args:
        measurements: Measurements of the run, earlier in the list of callbacks.
        metric: Name of the value.
        patience: Number of measurements without a better value.
        least_change: A value counts as better when it is better by more than this.
    """

    def __init__(
        self, measurements: Measurements, *, metric: str, patience: int, least_change: float = 0.0
    ) -> None:
        self.measurements = measurements
        self.metric = metric
        self.patience = patience
        self.least_change = least_change

    def on_train_start(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """End at once where an earlier run of the same folder was stopped here."""
        self._stop_if_exhausted(trainer)

    def on_measurement(self, trainer: pl.Trainer, measurement: Measurement) -> None:
        """End the run if it is time."""
        if value_of(self.metric, measurement) is not None:
            self._stop_if_exhausted(trainer)

    def _stop_if_exhausted(self, trainer: pl.Trainer) -> None:
        best, best_step, since = worst(self.metric), None, 0
        for measurement in self.measurements.known:
            value = measurement.values.get(self.metric)
            if value is None or measurement.extra:
                continue
            if is_better(self.metric, value, best, least_change=self.least_change):
                best, best_step, since = value, measurement.step, 0
            else:
                since += 1
        # Before the first step there would be nothing to keep.
        if since < self.patience or trainer.global_step == 0:
            return
        reached = "never was a number" if best_step is None else f"was best at step {best_step}"
        figure = "" if best_step is None else f" ({best:.6g})"
        trainer.should_stop = True
        if not trainer.is_global_zero:
            return
        logger.warning(
            "stopped at step %d: %s %s%s and no better in %d measurements since; to go on, raise "
            "training.trainer.early_stopping.patience or leave early_stopping out",
            trainer.global_step,
            self.metric,
            reached,
            figure,
            since,
        )

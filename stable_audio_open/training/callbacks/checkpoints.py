"""When checkpoints are written, and which are kept."""

import logging
import math
from pathlib import Path
from typing import Any

import msgspec
import pytorch_lightning as pl

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.training.callbacks.measurements import (
    Measurement,
    Measurements,
    is_better,
    value_of,
    worst,
)
from stable_audio_open.training.callbacks.preemption import StopOnSignal
from stable_audio_open.training.checkpoints.run_line import (
    BEST,
    LAST,
    delete,
    point,
    put_aside,
    run_line,
    step_path,
)
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

logger = logging.getLogger(__name__)


class Best(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `best.ckpt` is."""

    metric: str
    value: float
    step: int


class Checkpoints(pl.Callback):
    """Write `folder/STEP.ckpt` every so many steps, and after the last step of a run.

    The last step is also that after which another callback stopped the run. `folder/last.ckpt` is
    the newest one under another name; a run is resumed from the highest step (`run_line`), and what
    it leaves behind by going on from an older one is put aside. (Lightning's own callback would
    miss a last step between two intervals, or write it when the epoch is closed, from where a
    longer run would not go on exactly.)

    Args:
        folder: Created when missing.
        measurements: Measurements of the run, earlier in the list of callbacks.
        every: Steps between checkpoints.
        keep: Number of checkpoints that are kept.
        best: Measured value; the step at which it is best is kept as `folder/best.ckpt`, with
            `folder/best.json` that says how good and when.
    """

    def __init__(
        self,
        folder: Path,
        measurements: Measurements,
        *,
        every: int,
        keep: int,
        best: str | None = None,
    ) -> None:
        self.folder = folder
        self.measurements = measurements
        self.every = every
        self.keep = keep
        self.best = best
        self.best_value = worst(best) if best is not None else math.nan
        self._saved: int | None = None
        self._after_batch: dict[str, Any] | None = None
        self._drawn = 0
        self._amid_batch = False
        self.amid_saving = False
        """Whether a checkpoint is being written, or the writing of one has failed."""

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take note of where a resumed run starts, and of what it has to beat."""
        self._saved = trainer.global_step
        self._begin_line(trainer)
        self._recall_best(trainer)

    def on_fit_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take note of it where a run was over before it began."""
        if self._saved is None:
            self._saved = trainer.global_step
            self._recall_best(trainer)

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Take note that weights are about to change."""
        self._after_batch = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Save if it is time."""
        step = trainer.global_step
        # Where others train as well, they are anywhere, and would not join in.
        if trainer.world_size == 1 and isinstance(module, DiffusionTraining | AutoencoderTraining):
            self._drawn = module.drawn()
            self._after_batch = trainer.fit_loop.state_dict()
        if step % self.every == 0 or step == trainer.max_steps or trainer.should_stop:
            self._save(trainer)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save what there is where a signal has ended a step that is not done.

        Signals to all processes of a run end its data workers and compilers too, and the error of
        their end comes before the step does.
        """
        del exception
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set untyped
        asked = any(isinstance(one, StopOnSignal) and one.received for one in callbacks)
        # Amid a step weights may be half of it.
        if asked and self._after_batch is not None:
            assert isinstance(module, DiffusionTraining | AutoencoderTraining)
            module.put_back(self._drawn)
            self._amid_batch = True
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count no batch in hand of which no step was taken: it is the first of what goes on."""
        del trainer, module
        if self._amid_batch:
            checkpoint["loops"]["fit_loop"] = self._after_batch

    def on_measurement(self, trainer: pl.Trainer, measurement: Measurement) -> None:
        """Keep the checkpoint if it is the best so far; save if the measurement ends the run.

        Raises:
            ValueError: When no value of this name is measured.
        """
        if self.best is not None:
            self._keep_if_best(trainer, self.best, measurement)
        if trainer.should_stop and self._saved is not None:
            self._save(trainer)

    def _keep_if_best(self, trainer: pl.Trainer, metric: str, measurement: Measurement) -> None:
        value = value_of(metric, measurement)
        if value is None or not is_better(metric, value, self.best_value):
            return
        self.best_value = value
        _save(trainer, self.folder / BEST)
        if trainer.is_global_zero:
            record = Best(metric=metric, value=value, step=measurement.step)
            content = msgspec.json.format(msgspec.json.encode(record), indent=2)
            replace_bytes(self.folder / "best.json", content + b"\n")

    def _recall_best(self, trainer: pl.Trainer) -> None:
        """Learn what was best of what the run knows, and save it where there was no time to."""
        if self.best is None:
            return
        metric, kept, lost = self.best, worst(self.best), None
        if trainer.is_global_zero:
            known = {m.step: m for m in self.measurements.known if metric in m.values}
            record = self._read_best()
            # Of another metric, another way to measure or another run, it is nothing to beat.
            if record and record.metric == metric and record.step in known:
                kept = record.value if known[record.step].values[metric] == record.value else kept
            best = kept
            for step, measurement in known.items():
                if is_better(metric, measurement.values[metric], best):
                    best, lost = measurement.values[metric], step
        self.best_value, lost = trainer.strategy.broadcast((kept, lost))
        if lost == trainer.global_step:
            [measurement] = [
                m for m in self.measurements.known if m.step == lost and metric in m.values
            ]
            self._keep_if_best(trainer, metric, measurement)
        elif lost is not None and trainer.is_global_zero:
            logger.warning(
                "%s: the checkpoint of step %d, the best by %s so far, is not kept; the best from "
                "here on will be",
                self.folder / BEST,
                lost,
                metric,
            )

    def _read_best(self) -> "Best | None":
        path = self.folder / "best.json"
        if not path.is_file() or not path.with_suffix(".ckpt").is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Best)
        except NOT_JSON as error:
            raise ValueError(
                f"{path}: does not say what is best ({error}); repair it, or delete it"
            ) from error

    def _save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint of this step, unless it is written."""
        step = trainer.global_step
        # Where gradients accumulate, several batches end at the same step.
        if step == self._saved:
            return
        path = step_path(self.folder, step)
        self.amid_saving = True
        _save(trainer, path)
        self._saved = step
        if trainer.is_global_zero:
            point(self.folder / LAST, path)
            for old in run_line(self.folder)[self.keep :]:
                delete(old.path)
        self.amid_saving = False

    def _begin_line(self, trainer: pl.Trainer) -> None:
        """Put aside what the run left behind where it goes on from an older checkpoint."""
        if trainer.ckpt_path is None or not trainer.is_global_zero:
            return
        start = Path(trainer.ckpt_path)
        left = put_aside(self.folder, start, step=trainer.global_step)
        if left:
            logger.warning(
                "%s is of step %d; other checkpoints of this folder (%s) are put aside in %s: "
                "delete them if nobody needs them",
                start,
                trainer.global_step,
                ", ".join(path.name for path in left),
                left[0].parent,
            )


def _save(trainer: pl.Trainer, path: Path) -> None:
    """Write weights, optimisers and counters."""
    # In writing, Lightning's flag leaves optimisers out (unset, it logs a line each time); it says
    # nothing of unpickling. What reads checkpoints has weights_only=True.
    trainer.save_checkpoint(path, weights_only=False)

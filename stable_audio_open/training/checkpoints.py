"""When checkpoints are written, and which are kept."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from stable_audio_open.audio.replace import replace_bytes

_NAME = re.compile(r"(\d{8,})\.ckpt")


class Checkpoints(pl.Callback):
    """Write `folder/STEP.ckpt` every so many steps, and after the last step of a run.

    The last step is also that after which another callback stopped the run. `folder/last.ckpt` is
    the newest one under another name; a run is resumed from it. (Lightning's own callback would
    miss a last step between two intervals, or write it when the epoch is closed, from where a
    longer run would not go on exactly.)

    Args:
        folder: Created when missing.
        every: Steps between checkpoints.
        keep: How many are kept.
        best: Logged value; the validation at which it is lowest is kept as `folder/best.ckpt`,
            with `folder/best.json` that says how low and when.
    """

    def __init__(self, folder: Path, *, every: int, keep: int, best: str | None = None) -> None:
        self.folder = folder
        self.every = every
        self.keep = keep
        self.best = best
        self.lowest = float("inf")
        self._saved = 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take note of where a resumed run starts, and of what it has to beat."""
        self._saved = trainer.global_step
        record = self.folder / "best.json"
        if self.best is not None and record.is_file():
            # Not from the checkpoint: that of a step is written before the step's validation.
            found = json.loads(record.read_text())
            if found["metric"] == self.best:
                self.lowest = found["value"]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if it is time."""
        step = trainer.global_step
        due = step % self.every == 0 or step == trainer.max_steps or trainer.should_stop
        # Where gradients accumulate, several batches end at the same step.
        if not due or step == self._saved:
            return
        self._saved = step
        path = self.folder / f"{step:08d}.ckpt"
        _save(trainer, path)
        if trainer.is_global_zero:
            _point(self.folder / "last.ckpt", path)
            self._delete_old(step)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keep the checkpoint if it is the best so far.

        Raises:
            ValueError: When no value of this name is logged.
        """
        if self.best is None:
            return
        logged = trainer.callback_metrics
        if self.best not in logged:
            raise ValueError(
                f"training.trainer.checkpoint.best is {self.best!r}, which is not logged at a "
                f"validation; there are {', '.join(sorted(logged))}"
            )
        value = float(logged[self.best])
        if not value < self.lowest:
            return
        self.lowest = value
        _save(trainer, self.folder / "best.ckpt")
        if trainer.is_global_zero:
            record = {"metric": self.best, "value": value, "step": trainer.global_step}
            replace_bytes(self.folder / "best.json", json.dumps(record, indent=2).encode())

    def _delete_old(self, step: int) -> None:
        """Keep the newest up to this step; later ones are of a run before and not ours to judge."""
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        ours = sorted((int(m[1]), path) for m, path in found if m and int(m[1]) <= step)
        for _, path in ours[: -self.keep]:
            path.unlink()


def _save(trainer: pl.Trainer, path: Path) -> None:
    """Write weights, optimisers and counters."""
    # Lightning's flag leaves optimisers out of what is written. Reading has weights_only=True.
    trainer.save_checkpoint(path, weights_only=False)


def _point(name: Path, target: Path) -> None:
    """Give a file a second name in place of what had it, by a copy where links are not possible."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(target, partial)
    except OSError:
        shutil.copyfile(target, partial)
    partial.replace(name)

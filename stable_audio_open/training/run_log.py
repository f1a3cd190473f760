"""The log of a run as CSV: one file over all resumes."""

import csv
import io
import os
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger

from stable_audio_open.files.atomic import append_bytes, replace_bytes

FOLDER, FILE, STEP = "logs", "metrics.csv", "step"
_OF_BEFORE = re.compile(r"version_(\d+)")
"""Folders of version 0.1.0, one for each resume."""

Row = dict[str, str]


class RunLog(Logger):
    """Write `folder/logs/metrics.csv`, and go on in it when the run does.

    Every line has a step, counted from 0, and some of the values. (Lightning's logger begins a new
    file at every resume, and deletes what is there if told to take the same.)

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.path = folder / FOLDER / FILE
        self._columns: list[str] | None = None
        self._waiting: list[Row] = []

    @property
    def name(self) -> str:
        """What the log's folder is called."""
        return FOLDER

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    @property
    def save_dir(self) -> str:
        """Folder of the run."""
        return str(self.folder)

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Forget what was logged from a step on, from which the run goes on.

        Raises:
            OSError: The log cannot be written.
        """
        kept = [row for row in self._of_before() if int(row[STEP]) < step]
        columns = {name for row in kept for name in row}
        self._columns = sorted(columns | {STEP})
        if kept or self.path.is_file():
            self._replace(kept)

    def _of_before(self) -> list[Row]:
        """Return what is logged so far, by earlier versions too."""
        if self.path.is_file():
            return _read(self.path)
        found: list[Row] = []
        folder = self.path.parent
        named = [_OF_BEFORE.fullmatch(p.name) for p in folder.iterdir()] if folder.is_dir() else []
        for number in sorted(int(match[1]) for match in named if match):
            rows = _read(folder / f"version_{number}" / FILE)
            first = min((int(row[STEP]) for row in rows), default=None)
            if first is not None:
                found = [row for row in found if int(row[STEP]) < first] + rows
        return found

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take values of a step, to be written by `save`."""
        row = {name: str(float(value)) for name, value in metrics.items() if name != "epoch"}
        if "epoch" in metrics:
            row["epoch"] = str(int(metrics["epoch"]))
        self._waiting.append({**row, STEP: str(step or 0)})

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **more: Any) -> None:
        """Write nothing: the configuration says it."""

    @rank_zero_only
    def save(self) -> None:
        """Write what was taken.

        Raises:
            OSError: It cannot be written; what was written before stays.
        """
        # What cannot be written is not tried again when the run ends for it.
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        new = {name for row in rows for name in row} - {*(self._columns or ())}
        if new or not self.path.is_file():
            before = self._of_before()
            self._columns = sorted({name for row in [*before, *rows] for name in row})
            self._replace([*before, *rows])
            return
        try:
            append_bytes(self.path, self._text(rows))
        except OSError as error:
            raise self._error(error) from error

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left; where the run ends for another error, that one is told."""
        try:
            self.save()
        except OSError:
            if status == "success":
                raise

    def _replace(self, rows: Sequence[Row]) -> None:
        assert self._columns is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(
                self.path, self._text([dict(zip(self._columns, self._columns, strict=True)), *rows])
            )
        except OSError as error:
            raise self._error(error) from error

    def _text(self, rows: Sequence[Row]) -> bytes:
        assert self._columns is not None
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="").writerows(rows)
        return text.getvalue().encode()

    def _error(self, error: OSError) -> OSError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return OSError(
            error.errno,
            f"the log could not be written ({reason}); make room and run the same command again to "
            "go on from the last checkpoint",
            str(self.path),
        )


class BeginLog(pl.Callback):
    """Let the log of a run go on where the run does."""

    def on_train_start(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """Forget what a killed run had logged after its last checkpoint, and takes again."""
        for log in trainer.loggers:
            if isinstance(log, RunLog):
                log.begin(trainer.global_step)


def _read(path: Path) -> list[Row]:
    """Return the rows of a log without what is empty; a last one that was cut off is left out."""
    if not path.is_file():
        return []
    content = path.read_text(errors="replace")
    whole = content[: content.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [
        {name: value for name, value in row.items() if name and value}
        for row in rows
        if (row.get(STEP) or "").isdecimal()
    ]

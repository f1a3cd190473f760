"""What is measured now and then in a run: validation losses, metrics of an evaluation."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import pytorch_lightning as pl

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import read_json_lines
from stable_audio_open.training.callbacks.curves import write_curves
from stable_audio_open.training.failures import failure_logged

log = logging.getLogger(__name__)

FILE, PAGE = "measurements.jsonl", "measurements.html"
HIGHER_IS_BETTER = frozenset({"evaluation/clap", "evaluation/si_sdr"})
"""Values of which more is better; of all others less is."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that were measured together, after so many steps."""

    step: int
    values: dict[str, float]
    """By name; all begin with the kind, `validation/` or `evaluation/`."""
    about: str = ""
    """What was measured, and how: values of another kind of measuring are not compared."""
    extra: bool = False
    """Beside the schedule, because the run ended: nothing that ends a run counts it."""

    @property
    def kind(self) -> str:
        """What the names begin with."""
        return next(iter(self.values)).partition("/")[0]


@runtime_checkable
class Follower(Protocol):
    """A callback that acts upon measurements."""

    def on_measurement(self, trainer: pl.Trainer, measurement: Measurement) -> None:
        """Act; called in all processes alike, in the order of the callbacks."""


def is_better(name: str, value: float, than: float, *, least_change: float = 0.0) -> bool:
    """Say whether a value is better than another by more than `least_change`; NaN never is."""
    if name in HIGHER_IS_BETTER:
        return value > than + least_change
    return value < than - least_change


def worst(name: str) -> float:
    """Return what every value is better than."""
    return float("-inf" if name in HIGHER_IS_BETTER else "inf")


def value_of(name: str, measurement: Measurement) -> float | None:
    """Return a value of a new measurement; None where it is one of another kind.

    Raises:
        ValueError: When measurements of this kind have no such value.
    """
    kind = name.partition("/")[0]
    if name in measurement.values or kind != measurement.kind:
        return measurement.values.get(name)
    raise ValueError(
        f"training.trainer goes by {name!r}, which is not logged by the {kind}; there are "
        f"{', '.join(sorted(measurement.values))}"
    )


class Measurements(pl.Callback):
    """Keep what is measured in `folder/measurements.jsonl`, and draw it over the steps.

    A resumed run knows by it what was measured before. (Its checkpoint does not: that of a step is
    written before the step is measured.) Forgotten is what was measured after the step at which a
    run is resumed, what was measured in another way, and, in a run that starts anew, everything.

    Args:
        folder: Folder of the run.
        about: What is measured and how, of each kind, in words.
    """

    def __init__(self, folder: Path, about: Mapping[str, str]) -> None:
        self.folder = folder
        self.about = about
        self.known: list[Measurement] = []
        self._learnt = False

    def on_train_start(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """Learn what was measured up to here."""
        self._learn(trainer)

    def on_fit_end(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """Learn it where a run was over before it began, of which nothing else tells."""
        self._learn(trainer)

    def _learn(self, trainer: pl.Trainer) -> None:
        if self._learnt:
            return
        self._learnt = True
        found: list[Measurement] = []
        if trainer.is_global_zero and trainer.ckpt_path is not None:
            before = [m for m in read_measurements(self.folder) if m.step <= trainer.global_step]
            found = [m for m in before if m.about == self.about.get(m.kind, "")]
            if len(found) < len(before):
                log.warning(
                    "%s: %d of %d measurements are forgotten: what is measured, or how, has "
                    "changed since",
                    self.folder / FILE,
                    len(before) - len(found),
                    len(before),
                )
        # The other processes may not see the folder.
        self.known = trainer.strategy.broadcast(found)

    def on_validation_end(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """Announce the losses of a validation, unless it is one beside the schedule.

        Lightning makes one where a run is asked to end; by it, a run that goes on later would
        differ from one that was never asked.
        """
        batches, every = trainer.fit_loop.total_batch_idx + 1, trainer.val_check_batch
        if every is not None and batches % every == 0:
            logged = trainer.callback_metrics
            losses = {k: float(v) for k, v in logged.items() if k.startswith("validation/")}
            if losses:
                self.announce(trainer, losses)

    def announce(
        self, trainer: pl.Trainer, values: Mapping[str, float], *, extra: bool = False
    ) -> None:
        """Keep what was found after the step in hand, and tell all callbacks that follow.

        Args:
            trainer: Trainer of the run.
            values: Values by name, at least one; the same in all processes.
            extra: Beside the schedule.
        """
        kind = next(iter(values)).partition("/")[0]
        measurement = Measurement(
            step=trainer.global_step,
            values=dict(values),
            about=self.about.get(kind, ""),
            extra=extra,
        )
        self.known.append(measurement)
        if trainer.is_global_zero:
            try:
                self._write(measurement.step)
            except OSError as error:  # of one process alone, which must not leave the others
                log.warning("the measurements at step %d are not kept: %s", measurement.step, error)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it untyped
            if isinstance(callback, Follower):
                callback.on_measurement(trainer, measurement)

    def _write(self, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = b"".join(msgspec.json.encode(m) + b"\n" for m in self.known)
        replace_bytes(self.folder / FILE, lines)
        with failure_logged("the page of measurements", step):
            write_curves(
                self.folder / PAGE,
                curves(self.known),
                about=[f"{kind}: {words}" for kind, words in self.about.items()],
                higher_is_better=HIGHER_IS_BETTER,
            )

    def has(self, kind: str, step: int) -> bool:
        """Say whether values of a kind are known of a step."""
        return any(m.step == step and m.kind == kind for m in self.known)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A measurement as JSON has it: what is not finite is null."""

    step: int
    values: dict[str, float | None]
    about: str = ""
    extra: bool = False


def read_measurements(folder: Path) -> list[Measurement]:
    """Return what was measured in a run; nothing where its folder has no such file.

    Raises:
        ValueError: The file cannot be read.
    """
    lines = read_json_lines(
        folder / FILE, _Line, what="a measurement", remedy="repair or delete the line"
    )
    found = []
    for kept in lines:
        values = {k: math.nan if v is None else v for k, v in kept.values.items()}
        if values:
            found.append(
                Measurement(step=kept.step, values=values, about=kept.about, extra=kept.extra)
            )
    return found


def curves(measurements: list[Measurement]) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of each name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for measurement in measurements:
        for name, value in measurement.values.items():
            found.setdefault(name, []).append((measurement.step, value))
    return found

"""Several sides asked in turns, within the time that a run may take.

A peer that fails is left out of the case, one whose process has ended of all that follow; this
package's failures end the run.
"""

import gc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarking.cases import frames_of
from benchmarking.comparison import OURS
from benchmarking.shared import SharedModel
from benchmarking.timing import Spread
from benchmarking.workers.client import SideError

GRACE = 60.0
"""Seconds that an answer may take beyond the time that is left."""


class Asked(Protocol):
    """A side, wherever it is: see `workers.client.Worker`."""

    def ask(self, do: str, *, patience: float = ..., **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer."""


class Clock:
    """What is left of the time that a run may take.

    Args:
        seconds: For the whole run; any when None.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else monotonic() + seconds
        self.left_out: list[str] = []
        """What there was no time for."""

    @property
    def left(self) -> float:
        """Seconds."""
        return float("inf") if self._end is None else self._end - monotonic()

    def has_time(self, what: str) -> bool:
        """Whether there is any left; else `what` is noted as left out."""
        if self.left > 0:
            return True
        self.left_out.append(what)
        return False


class Turns:
    """The sides with one model, asked one after the other.

    Args:
        sides: By name, this package's first.
        shared: The model.
        scratch: Folder for outputs.
        clock: What time is left.
        device: Where to.
        dtype: Type of weights and activations; in training, of mixed precision.
        threads: CPU threads, PyTorch's choice when None.
        steps: Of a clip.
        crop: Latent frames of a crop of the autoencoder's training.
        seed: Seed of inputs and noise.
        tell: Takes a line on a peer that failed.
    """

    def __init__(
        self,
        sides: Mapping[str, Asked],
        shared: SharedModel,
        scratch: Path,
        clock: Clock,
        *,
        device: str,
        dtype: torch.dtype,
        threads: int | None,
        steps: int,
        crop: int,
        seed: int,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tell = tell
        self.names = tuple(sides)
        self.sides, self.shared, self.clock = dict(sides), shared, clock
        self.case = "load"
        self.failures: list[str] = []
        """Lines of peers that failed."""
        self.dtype, self.steps = dtype, steps
        self._scratch, self._crop, self._seed = scratch, crop, seed
        self._where = {"device": device, "threads": threads}
        self.versions: dict[str, Any] = {}

    def ask(self, side: str, do: str, **fields: Any) -> dict[str, Any]:
        """Ask one side, no longer than the run may take."""
        if self.clock.left == float("inf"):
            return self.sides[side].ask(do, **fields)
        return self.sides[side].ask(do, patience=max(0.0, self.clock.left) + GRACE, **fields)

    def ask_all(self, sides: Iterable[str], do: str, **fields: Any) -> dict[str, dict[str, Any]]:
        """Ask several sides one after the other; peers that fail are noted and have no answer.

        Raises:
            SideError: This package's side fails.
        """
        answers = {}
        for side in list(sides):
            if side not in self.sides:
                continue
            try:
                answers[side] = self.ask(side, do, **fields)
            except SideError as error:
                if side == OURS:
                    raise
                line = f"{self.case}: {error}"
                self.failures.append(line)
                self._tell(line)
                if error.ended:
                    del self.sides[side]
        return answers

    def open(self, dtype: torch.dtype) -> None:
        """Load the weights on all sides."""
        told = self.ask_all(
            self.sides,
            "open",
            folder=str(self.shared.folder),
            dtype=type_name(dtype),
            steps=self.steps,
            seed=self._seed,
            **self._where,
        )
        # Whose weights are not there has nothing to measure.
        self.sides = {side: self.sides[side] for side in told}
        self.versions |= {side: answer["versions"] for side, answer in told.items()}

    def prepare(
        self, case: str, frames: int | None = None, *, mixed: torch.dtype | None = None
    ) -> list[str]:
        """Make a case ready, and return the sides that have it."""
        self.case = case
        inputs = self.shared.write_inputs(frames or self.frames(case), seed=self._seed)
        fields = {"case": case, "inputs": str(inputs)}
        if mixed is not None:
            fields["mixed"] = type_name(mixed)
        answers = self.ask_all(self.sides, "prepare", **fields)
        return [side for side, answer in answers.items() if answer["has"]]

    def frames(self, case: str) -> int:
        """Return the frames of a case's input."""
        return self._crop if case == "train-autoencoder" else frames_of(self.shared)

    def outputs(self, case: str, sides: Iterable[str]) -> dict[str, Tensor]:
        """Return what the sides compute."""
        found = {}
        for side in sides:
            file = self._scratch / f"{case}_{side}.safetensors"
            if self.ask_all([side], "output", file=str(file)):
                found[side] = load_file(file)["output"]
                file.unlink()
        return found

    def time(
        self, sides: list[str], *, warmup: int, repeats: int, calls: int, seconds: float | None
    ) -> dict[str, Spread]:
        """Time what was made ready in turns (A B A B ...), so that all see the same machine.

        Args:
            sides: Which.
            warmup: Rounds that are not counted.
            repeats: Rounds that are.
            calls: Calls in a row per measurement.
            seconds: No other round begins after so many; any when None.
        """
        for _ in range(warmup):
            sides = list(self.ask_all(sides, "time", calls=1))
        gc.collect()
        begin, times = monotonic(), {side: list[float]() for side in sides}
        for done in range(repeats):
            spent = monotonic() - begin
            if done and (self.clock.left <= 0 or (seconds is not None and spent > seconds)):
                break
            answers = self.ask_all(sides, "time", calls=calls)
            sides = list(answers)
            for side, answer in answers.items():
                times[side].append(answer["seconds"])
        return {side: Spread(tuple(times[side])) for side in sides}


def type_name(dtype: torch.dtype) -> str:
    """Return the name of a type, as the options have it."""
    return str(dtype).removeprefix("torch.")

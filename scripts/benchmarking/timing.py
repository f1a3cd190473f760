"""Seconds and bytes of a call, on a CPU or a CUDA device."""

import gc
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Measured values: the median, and the lowest and highest of them."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the values and what is read off them."""
        return {
            "median": self.median,
            "low": self.low,
            "high": self.high,
            "values": list(self.values),
        }


def ratios(above: Spread, below: Spread) -> Spread:
    """Divide round by round, so that what slows a whole round down cancels."""
    return Spread(tuple(a / b for a, b in zip(above.values, below.values, strict=True)))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done its work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Call, *, device: torch.device, calls: int = 1) -> float:
    """Return the seconds that one of `calls` calls in a row takes.

    On a CUDA device, events on its stream are the clock: from the first call's start until the
    last call's work is done.
    """
    synchronize(device)
    if device.type != "cuda":
        begin = perf_counter()
        for _ in range(calls):
            call()
        return (perf_counter() - begin) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / calls


def peak_bytes_of(call: Call, *, device: torch.device) -> int | None:
    """Return the most memory that a call holds above what was held before; None on a CPU."""
    if device.type != "cuda":
        call()
        return None
    synchronize(device)
    held = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - held


def interleave(
    sides: Mapping[str, Call],
    *,
    device: torch.device,
    warmup: int,
    repeats: int,
    calls: int = 1,
) -> dict[str, Spread]:
    """Time several calls in turns (A B A B ...), so that all of them see the same machine.

    Args:
        sides: What to time, by name.
        device: Where it runs.
        warmup: Rounds that are not counted.
        repeats: Rounds that are.
        calls: Calls in a row per measurement.
    """
    for _ in range(warmup):
        for call in sides.values():
            call()
    gc.collect()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            seconds[name].append(seconds_of(call, device=device, calls=calls))
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


class Stages:
    """Seconds of the stages of a step; a stage that is entered again goes on counting."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """Start a stage's clock."""
        synchronize(self.device)
        self._begun[name] = perf_counter()

    def end(self, name: str) -> None:
        """Stop it."""
        synchronize(self.device)
        elapsed = perf_counter() - self._begun.pop(name)
        self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block of code."""
        self.begin(name)
        yield
        self.end(name)

    def take(self) -> dict[str, float]:
        """Return the seconds by stage and start from 0."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def by_stage(steps: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Turn one mapping per step into one spread per stage."""
    return {name: Spread(tuple(step[name] for step in steps)) for name in steps[0]}

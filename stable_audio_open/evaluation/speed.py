"""Seconds and memory of the stages of a generation, beside the published ones (section 5.4)."""

import platform
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import msgspec
import torch

from stable_audio_open.version import VERSION

GB = 1e9


class StageTime(msgspec.Struct, frozen=True, kw_only=True):
    """One stage, as measured."""

    name: str
    unit: str
    """What `amount` counts."""
    amount: float
    """Units done in a call."""
    seconds: float | None
    """Median time of a call; None where memory did not suffice."""
    memory: int | None
    """Bytes allocated on the GPU at the largest moment, weights included; None on a CPU."""

    @property
    def per_second(self) -> float | None:
        """Amount in a second."""
        return None if self.seconds is None else self.amount / self.seconds


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine does."""

    model: str
    checkpoint_hash: str | None
    """SHA-256 over its weights, the first 16 digits; None where they are random."""
    machine: str
    torch: str
    """Version of PyTorch."""
    dtype: str
    threads: int | None
    """Threads of the CPU; None on a GPU."""
    batch: int
    seconds: float
    """Length of each sound."""
    frames: int
    """Latents of each sound."""
    repeats: int
    stages: tuple[StageTime, ...]
    process_memory: int | None
    """Bytes of CPU memory that the process held at most, loading included; None where unknown."""
    version: str = VERSION
    """Version of this package."""


class Published(NamedTuple):
    """A figure of the paper; the model has 1024 latents of 47 s."""

    stage: str
    machine: str
    value: str


PUBLISHED = (
    Published("diffusion", "RTX-3090, 24 GB", "8 steps/s"),
    Published("diffusion", "RTX-A6000, 48 GB", "11 steps/s"),
    Published("diffusion", "H100, 80 GB", "20 steps/s"),
    Published("diffusion", "not named", "5.9 GB"),
    Published("decoding, whole", "not named", "14.5 GB"),
)
"""Section 5.4 and appendix B; the text at hand lacks the table of appendix B.1 (chunk sizes)."""


def measure_stage(
    name: str,
    call: Callable[[], object],
    *,
    device: torch.device,
    repeats: int,
    unit: str,
    amount: float,
) -> StageTime:
    """Time a call after a warm-up; the GPU's memory is that of the timed calls alone.

    Args:
        name: Name of the stage.
        call: Does the stage once.
        device: Where it computes.
        repeats: Timed calls, at least 1.
        unit: Unit of the speed.
        amount: What a call does, in units.

    Raises:
        ValueError: When there are no repeats.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    gpu = device.type == "cuda"
    seconds: list[float] = []
    try:
        call()
        if gpu:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(repeats):
            begin = perf_counter()
            call()
            if gpu:
                torch.cuda.synchronize(device)
            seconds.append(perf_counter() - begin)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return StageTime(name=name, unit=unit, amount=amount, seconds=None, memory=None)
    return StageTime(
        name=name,
        unit=unit,
        amount=amount,
        seconds=statistics.median(seconds),
        memory=torch.cuda.max_memory_allocated(device) if gpu else None,
    )


def machine_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the processor."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / GB:.0f} GB"
    return f"{platform.processor() or platform.machine()} ({device.type})"


def process_memory() -> int | None:
    """Return the bytes that this process has held at most; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def speed_table(result: Speed) -> str:
    """Return the table, and the paper's figures below it."""
    threads = f", {result.threads} threads" if result.threads else ""
    lines = [
        f"{result.model} on {result.machine}{threads}, {result.dtype}, torch {result.torch}",
        f"weights {result.checkpoint_hash or 'random'}, stable-audio-open {result.version}",
        f"{result.batch} x {result.seconds:.2f} s = {result.frames} latents, median of "
        f"{result.repeats}",
        "",
        f"{'stage':28}{'seconds':>10}{'speed':>22}{'VRAM, GB':>10}",
    ]
    for stage in result.stages:
        if stage.seconds is None or stage.per_second is None:
            lines.append(f"{stage.name:28}{'out of memory':>42}")
            continue
        memory = "-" if stage.memory is None else f"{stage.memory / GB:.2f}"
        digits = ".3g" if stage.per_second < 100 else ",.0f"
        speed = f"{stage.per_second:{digits}} {stage.unit}"
        lines.append(f"{stage.name:28}{stage.seconds:10.4f}{speed:>22}{memory:>10}")
    if result.process_memory is not None:
        lines.append(f"CPU memory of the process at most: {result.process_memory / GB:.2f} GB")
    lines += ["", "Other machines: as published for 47 s (section 5.4, appendix B)"]
    lines += [f"{one.stage:28}{one.machine:>22}{one.value:>14}" for one in PUBLISHED]
    return "\n".join(lines)


def to_json(result: Speed) -> bytes:
    """Return indented JSON, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"

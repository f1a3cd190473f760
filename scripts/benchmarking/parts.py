"""Each part of the benchmark, from the options to its entries in the report."""

import gc
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarking.cases import CASES
from benchmarking.comparison import OURS
from benchmarking.growth import DECODE_FRAMES, RECORDINGS, STEP_FRAMES, grow, grow_start
from benchmarking.measurement import Measurement
from benchmarking.recordings import time_crops
from benchmarking.shared import write_model
from benchmarking.sizes import SIZES, autoencoder_config, diffusion_config
from benchmarking.turns import Clock, Turns
from benchmarking.workers.client import Worker
from stable_audio_open.checkpoint.weights.precision import DTYPES
from stable_audio_open.config.model import DiffusionModelConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured, and how often; the command's options under the same names."""

    size: str
    device: str
    dtype: str
    depth: int | None
    frames: int | None
    batch: int | None
    crop_frames: int | None
    model: str
    duration: float
    steps: int
    clip_steps: int
    minutes: float
    warmup: int
    repeats: int
    calls: int
    threads: int | None
    seed: int
    peer: tuple[tuple[str, str], ...]
    """Names and interpreters."""
    case_seconds: float | None
    most_frames: int | None
    """Largest number of frames in growth; all when None."""
    most_recordings: int | None
    """Largest number of recordings in growth; all when None."""

    @property
    def config(self) -> DiffusionModelConfig:
        """Configuration of the model whose training is measured."""
        return diffusion_config(
            self.size, depth=self.depth, frames=self.frames, batch=self.batch, seed=self.seed
        )

    @property
    def rounds(self) -> dict[str, int]:
        """How often."""
        return {"warmup": self.warmup, "repeats": self.repeats}

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type that `dtype` names."""
        return DTYPES[self.dtype]


def measure(
    parts: list[str],
    settings: Settings,
    clock: Clock,
    report: dict[str, Any],
    *,
    tell: Callable[[str], None],
) -> None:
    """Add to a report what was measured, as soon as it is.

    Args:
        parts: Their names.
        settings: What is measured.
        clock: What time is left.
        report: Gets `parts`, `growth`, `roofline`, `versions` and `failures`.
        tell: Takes a line on what is done now.

    Raises:
        OutputsDifferError: When the sides of a part do not compute the same.
        SideError: When this package's process ended or failed.
        ValueError: When a setting does not fit the model.
    """
    report |= {name: {} for name in ("parts", "growth", "roofline", "versions")}
    report["failures"] = []
    shared = [part for part in parts if part in CASES]
    if shared or "growth" in parts:
        _measure_shared(shared, settings, clock, report, tell=tell, growth="growth" in parts)
    for part in parts:
        if part in CASES or part == "growth" or not clock.has_time(part):
            continue
        tell(f"{part} ...")
        match part:
            case "crops":
                found = time_crops(settings.minutes, seed=settings.seed, **settings.rounds)
            case "generate":
                found = {"generate": _measure_generate(settings)}
            case _:
                found = _measure_training(settings)
        report["parts"] |= found
        gc.collect()
        if settings.device == "cuda":
            torch.cuda.empty_cache()
    if "growth" in parts:
        tell("growth of the start of training data ...")
        counts = _up_to(settings.most_recordings, RECORDINGS)
        report["growth"]["start"] = grow_start(clock, counts)


def _measure_shared(
    cases: list[str],
    settings: Settings,
    clock: Clock,
    report: dict[str, Any],
    *,
    tell: Callable[[str], None],
    growth: bool,
) -> None:
    """Write the model, start the sides, and add what they measure to the report."""
    if any(each == ("diffusers", sys.executable) for each in settings.peer) and not (
        importlib.util.find_spec("diffusers")
    ):
        raise ModuleNotFoundError("No module named 'diffusers'", name="diffusers")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tell("writing the model ...")
        shared = write_model(
            folder,
            size=settings.size,
            depth=settings.depth,
            frames=settings.frames,
            seed=settings.seed,
            diffusers="diffusers" in dict(settings.peer),
        )
        sides = {
            OURS: stack.enter_context(Worker(OURS, sys.executable, folder=folder, own_paths=True))
        }
        for peer, python in settings.peer:
            sides[peer] = stack.enter_context(Worker(peer, python, folder=folder))
        turns = Turns(
            sides,
            shared,
            folder,
            clock,
            device=settings.device,
            dtype=settings.torch_dtype,
            threads=settings.threads,
            steps=settings.clip_steps,
            crop=settings.crop_frames or CROP_FRAMES[settings.size],
            seed=settings.seed,
            tell=tell,
        )
        report["versions"], report["failures"] = turns.versions, turns.failures
        where = {"device": settings.device, "threads": settings.threads}
        report["roofline"] = rooflines = {
            settings.dtype: turns.ask(OURS, "roofline", dtype=settings.dtype, **where)
        }
        measurement = Measurement(
            turns,
            rooflines,
            calls=settings.calls,
            seconds=settings.case_seconds,
            tell=tell,
            **settings.rounds,
        )
        measurement.run(cases, report["parts"])
        if growth:
            turns.open(settings.torch_dtype)
            for case, sizes in (("step", STEP_FRAMES), ("decode", DECODE_FRAMES)):
                tell(f"growth of {case} ...")
                frames = _up_to(settings.most_frames, sizes)
                report["growth"][case] = grow(turns, case, frames, seconds=settings.case_seconds)


CROP_FRAMES = {"tiny": 16, "small": 32, "published": 32}
"""Latent frames of a crop in `train-autoencoder`; 65,536 samples at the published size."""


def _up_to(largest: int | None, sizes: tuple[int, ...]) -> list[int]:
    """Return the sizes that are not above the largest, and the first in any case."""
    return [size for size in sizes if largest is None or size <= max(largest, sizes[0])]


def _measure_generate(settings: Settings) -> dict[str, Any]:
    from benchmarking.generation import GenerationBenchmark

    request = GenerationBenchmark(
        model=settings.model,
        duration=settings.duration,
        steps=settings.steps,
        device=torch.device(settings.device),
        dtype=settings.dtype,
        threads=settings.threads,
        seed=settings.seed,
    )
    return request.run(**settings.rounds)


def _measure_training(settings: Settings) -> dict[str, Any]:
    from benchmarking.training import time_autoencoder, time_transformer

    autoencoder = autoencoder_config(
        settings.size,
        crop_frames=settings.crop_frames,
        batch=settings.batch,
        seed=settings.seed,
    )
    where: dict[str, Any] = {
        "device": torch.device(settings.device),
        "dtype": settings.torch_dtype,
        **settings.rounds,
    }
    return {
        **time_autoencoder(autoencoder, **where),
        "training transformer": time_transformer(settings.config, SIZES[settings.size], **where),
    }

"""The whole of `generate`, from text to waveform, with and without loading."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarking.timing import Spread, peak_bytes_of, seconds_of
from stable_audio_open.audio.audio import Audio
from stable_audio_open.pretrained import StableAudio

PROMPT = "deep kick drum"


@dataclass(frozen=True, kw_only=True)
class GenerationBenchmark:
    """One request, made again and again.

    Args:
        model: Any source that `load` takes.
        duration: Seconds of sound.
        steps: Sampling steps.
        device: Where to.
        dtype: Name of the type of the weights.
        threads: CPU threads, PyTorch's choice when None.
        seed: Of the noise.
    """

    model: str
    duration: float
    steps: int
    device: torch.device
    dtype: str
    threads: int | None
    seed: int

    def run(self, *, warmup: int, repeats: int) -> dict[str, Any]:
        """Return the times of a fresh process, of loading, and of generating.

        Raises:
            ValueError: For the reasons of `load` and `generate`.
            OSError: When the fresh process fails.
        """
        system = self._load()
        # Before any clock starts: what is wrong with the request is told here.
        peak = peak_bytes_of(lambda: self._generate(system), device=self.device)
        for _ in range(warmup):
            self._generate(system)
        rounds = [self._round(system) for _ in range(repeats)]
        return {
            "model": self.model,
            "shape": f"{self.duration:g} s, {self.steps} steps",
            "parameters": sum(parameter.numel() for parameter in system.parameters()),
            "peak_bytes": peak,
            "stages": {
                name: Spread(tuple(values)).to_json()
                for name, values in zip(
                    ("fresh process", "load", "generate"), zip(*rounds, strict=True), strict=True
                )
            },
        }

    def _round(self, system: StableAudio) -> tuple[float, float, float]:
        return (
            seconds_of(self._fresh_process, device=torch.device("cpu")),
            seconds_of(self._load, device=self.device),
            seconds_of(lambda: self._generate(system), device=self.device),
        )

    def _load(self) -> StableAudio:
        return StableAudio.from_pretrained(self.model, device=self.device, dtype=self.dtype)

    def _generate(self, system: StableAudio) -> Audio:
        return system.generate(
            PROMPT, duration=self.duration, steps=self.steps, seed=self.seed, progress=False
        )

    def _fresh_process(self) -> None:
        """Do what a user does on the command line: import, load, generate, write the file."""
        with tempfile.TemporaryDirectory() as folder:
            arguments: Sequence[str] = (
                *("generate", PROMPT, "--model", self.model),
                *("--duration", f"{self.duration}", "--steps", f"{self.steps}"),
                *("--device", str(self.device), "--dtype", self.dtype, "--seed", f"{self.seed}"),
                *(("--threads", f"{self.threads}") if self.threads is not None else ()),
                *("--output", str(Path(folder) / "benchmark.wav")),
            )
            done = subprocess.run(
                [sys.executable, "-m", "stable_audio_open.cli.main", *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["nothing on standard error"]
            raise OSError(f"the command `generate` failed with {done.returncode}: {lines[-1]}")

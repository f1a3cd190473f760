"""Long files: a crop of one against all of it, and how training data starts up."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarking.comparison import OutputsDifferError, distance
from benchmarking.timing import interleave, ratios, seconds_of
from benchmarking.workers.memory import memory_of
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.data.dataset import CropDataset
from stable_audio_open.data.manifest import Recording

FORMATS = ("wav", "flac", "mp3")
CROP = 5.0
"""Seconds of a crop."""
SAMPLE_RATE = 44100
TOLERANCE = 1e-6
LINKS = 30000
"""Names of one file; a file system allows only so many."""


def time_crops(minutes: float, *, warmup: int, repeats: int, seed: int) -> dict[str, Any]:
    """Return the times of reading 5 s of a long file, and of reading it whole as peers do.

    Args:
        minutes: Length of the file.
        warmup: Rounds that are not counted.
        repeats: Rounds that are.
        seed: Seed of the sound.

    Raises:
        OutputsDifferError: A crop is not what the whole file has there.
    """
    device, measured = torch.device("cpu"), {}
    with tempfile.TemporaryDirectory() as folder:
        sound = _sound(minutes, seed=seed)
        for kind in FORMATS:
            path = Path(folder, f"long.{kind}")
            Audio(sound, SAMPLE_RATE).save(path)
            start = round(minutes * 60 * 0.7)

            def whole(path: Path = path) -> torch.Tensor:
                return read_audio(path, sample_rate=SAMPLE_RATE, channels=2).samples

            def crop(path: Path = path, start: float = start) -> torch.Tensor:
                return read_audio(
                    path, sample_rate=SAMPLE_RATE, channels=2, start=start, duration=CROP
                ).samples

            first, length = start * SAMPLE_RATE, int(CROP * SAMPLE_RATE)
            apart = distance(crop(), whole()[..., first : first + length])
            if not apart <= TOLERANCE:
                raise OutputsDifferError(
                    f"crop {kind}: differs from the whole file by {apart:.3g} of its root mean "
                    f"square, allowed is {TOLERANCE:g}; it was not timed"
                )
            sides = {"crop": crop, "whole": whole}
            memory = {name: memory_of(call, device=device) for name, call in sides.items()}
            times = interleave(sides, device=device, warmup=warmup, repeats=repeats)
            measured[f"crop {kind}"] = {
                "shape": f"{CROP:g} s of {minutes:g} minutes, 44.1 kHz stereo",
                "agreement": apart,
                "sides": {name: times[name].to_json() | {"memory": memory[name]} for name in sides},
                "ratios": {"whole": ratios(times["whole"], times["crop"]).to_json()},
            }
            path.unlink()
    return measured


def time_start(counts: list[int], *, repeats: int) -> dict[int, list[float]]:
    """Return the seconds until training data of so many recordings is ready, by their number."""
    return {count: _start(count, repeats=repeats) for count in counts}


def _start(count: int, *, repeats: int) -> list[float]:
    with _many_files(count) as (folder, recordings):

        def call() -> CropDataset:
            return CropDataset(
                recordings=recordings,
                folder=folder,
                sample_rate=SAMPLE_RATE,
                channels=2,
                crop_samples=65536,
            )

        device = torch.device("cpu")
        return [seconds_of(call, device=device) for _ in range(repeats)]


@contextmanager
def _many_files(count: int) -> Iterator[tuple[Path, list[Recording]]]:
    """Make many names of a few short recordings; their headers are all that is read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = []
        for index in range(count):
            file = f"{index // LINKS}/{index}.flac"
            path = folder / file
            if index % LINKS == 0:
                path.parent.mkdir()
                Audio(torch.zeros(1, 2, SAMPLE_RATE // 4), SAMPLE_RATE).save(path)
                first = path
            else:
                os.link(first, path)
            recordings.append(Recording(file=file, caption="a sound"))
        yield folder, recordings


def _sound(minutes: float, *, seed: int) -> torch.Tensor:
    """Return noise, the same minute again and again."""
    random = torch.Generator().manual_seed(seed)
    samples = round(minutes * 60 * SAMPLE_RATE)
    noise = torch.randn(1, 2, min(samples, 60 * SAMPLE_RATE), generator=random) * 0.1
    times = -(-samples // noise.shape[-1])
    return noise.clamp(-1, 1).repeat(1, 1, times)[..., :samples]

"""Synthesised recordings, in every format that libsndfile can write."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from stable_audio_open.audio.writing.saving import save_audio

SECONDS = 0.3
RATES = (44100, 16000, 8000)


def tone(seconds: float, *, rate: int, channels: int, pitch: float = 330.0) -> NDArray[np.float64]:
    """Return a tone in noise, `[time, channels]`."""
    random = np.random.default_rng(round(pitch))
    time = np.arange(round(seconds * rate)) / rate
    noise = 0.05 * random.standard_normal((len(time), channels))
    sound: NDArray[np.float64] = 0.4 * np.sin(2 * np.pi * pitch * time)[:, None] + noise
    return sound


def write_sounds(folder: Path, *, rate: int) -> None:
    """Write three FLAC files, mono and stereo, and their manifest."""
    folder.mkdir(parents=True)
    lines = []
    for index in range(3):
        samples = tone(0.2 + 0.1 * index, rate=rate, channels=1 + index % 2, pitch=110.0 + index)
        save_audio(folder / f"{index}.flac", torch.from_numpy(samples.T).float(), rate)
        lines.append(json.dumps({"file": f"{index}.flac", "caption": f"tone {index}"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")


def write_recordings(folder: Path) -> dict[str, Path]:
    """Write one recording of each format and encoding, and those that the product saves itself."""
    folder.mkdir(parents=True)
    found: dict[str, Path] = {}
    for suffix in ("wav", "flac", "ogg", "mp3"):
        path = folder / f"saved.{suffix}"
        samples = torch.from_numpy(tone(SECONDS, rate=44100, channels=2).T).float()
        found[f"saved {suffix}"] = save_audio(path, samples, 44100)
    for container in soundfile.available_formats():
        for encoding in soundfile.available_subtypes(container):
            if container in ("RAW", "SD2"):  # without a header, or with it in another file
                continue
            path = folder / f"{container}_{encoding}.{container.lower()}"
            if _write(path, container, encoding):
                found[f"{container} {encoding}"] = path
    return found


def _write(path: Path, container: str, encoding: str) -> bool:
    for rate in RATES:
        for channels in (2, 1):
            try:
                samples: Any = tone(SECONDS, rate=rate, channels=channels)
                soundfile.write(path, samples, rate, encoding, format=container)
            except soundfile.LibsndfileError:
                continue
            return True
    path.unlink(missing_ok=True)
    return False

"""The recordings of a set as vectors of an embedder."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio.resample import resample
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.levels import PEAK_DB, at_peak

Channels = Literal["stereo", "mono"]
COUNTS: dict[Channels, int] = {"stereo": 2, "mono": 1}
HEARD: dict[Channels, str] = {"stereo": "left and right joined", "mono": "mean of the channels"}

RATE = 44_100
"""Hertz, of all recordings that the paper compares as sets."""


class RecordingVectors(NamedTuple):
    """All windows of one recording."""

    values: Float[Tensor, "windows width"]
    silent: bool


class Vectors(NamedTuple):
    """All windows of a set of recordings."""

    ids: tuple[str, ...]
    values: Float[Tensor, "windows width"]
    """Vectors of all recordings in order."""
    owners: Int64[Tensor, "windows"]
    """Places in `ids`."""
    silent: tuple[str, ...]
    """Ids of the recordings that are silent."""


def through(embedder: Embedder) -> int | None:
    """Return the rate that recordings are brought to before an embedder's own, if any.

    The paper's 44.1 kHz: what lies above, recordings at 48 kHz have and its models cannot.
    """
    return RATE if embedder.sample_rate > RATE else None


def brought_to(embedder: Embedder, channels: Channels) -> str:
    """Return what recordings are brought to before they are embedded, for a definition."""
    rate = through(embedder)
    by_way = f", through {rate / 1000:g} kHz" if rate else ""
    return f"peak {PEAK_DB:g} dBFS, {HEARD[channels]}{by_way}"


def embed_recordings(
    files: Mapping[str, Path],
    embedder: Embedder,
    *,
    channels: Channels = "stereo",
    memory: ResultCache | None = None,
) -> Vectors:
    """Return the vectors of recordings, each brought to a peak of -1 dB of full scale.

    Args:
        files: By id; at least one.
        embedder: Embeds left and right apart, or their mean.
        channels: `stereo` joins the vectors of both sides to one of twice the width, and takes mono
            recordings for equal sides, as the paper's evaluation does.
        memory: Results that were computed before, for sets that share recordings.

    Raises:
        AudioFileError: A file cannot be read.
        ValueError: An embedding is not finite.
    """
    embed: Callable[[Path], RecordingVectors] = partial(_embed, embedder, channels)
    if memory is not None:
        embed = memory.of(embed, "vectors", embedder.name, channels)
    parts, owners, silent = [], [], []
    for place, (name, path) in enumerate(files.items()):
        found = embed(path)
        if found.silent:
            silent.append(name)
        parts.append(found.values)
        owners += [place] * len(found.values)
    return Vectors(tuple(files), torch.cat(parts), torch.tensor(owners), tuple(silent))


def _embed(embedder: Embedder, channels: Channels, path: Path) -> RecordingVectors:
    rate = through(embedder) or embedder.sample_rate
    audio = read_audio(path, sample_rate=rate, channels=COUNTS[channels])
    samples = resample(audio.samples[0], rate, embedder.sample_rate)
    found = torch.cat([embedder(side) for side in at_peak(samples)], dim=1)
    if not found.isfinite().all():
        raise ValueError(f"{path}: the embedding is not finite; check the embedder")
    return RecordingVectors(found.float().cpu(), is_silent(samples))

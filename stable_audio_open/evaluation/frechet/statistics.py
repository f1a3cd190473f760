"""Mean and covariance of a reference set in one file, so that it is embedded once."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from stable_audio_open.evaluation.embeddings.vectors import Channels
from stable_audio_open.evaluation.frechet.gaussian import Gaussian
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.files.json_lines import NOT_JSON

KEY = "statistics"


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the statistics were computed from, and with."""

    embedder: str
    embedder_hash: str | None
    channels: Channels
    through: int | None = None
    """Hertz that the files were brought to before the embedder's own rate."""
    files: dict[str, str]
    """SHA-256 of each file, by id."""


class Statistics(NamedTuple):
    """The Gaussian of a reference set, and where it comes from."""

    gaussian: Gaussian
    origin: Origin | None
    """None where others published it."""


def file_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {name: file_hash(path) for name, path in files.items()}


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write a safetensors file, whole or not at all; of what was computed here."""
    mean, covariance, count = statistics.gaussian
    assert statistics.origin is not None
    assert count is not None
    tensors = {"mean": mean, "covariance": covariance, "count": torch.tensor([count])}
    origin = msgspec.json.encode(statistics.origin).decode()
    replace_bytes(path, save(tensors, {KEY: origin}))


def read_statistics(path: Path) -> Statistics:
    """Return what `write_statistics` wrote.

    Raises:
        ValueError: It is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            origin = msgspec.json.decode((file.metadata() or {})[KEY], type=Origin)
            mean, covariance, count = map(file.get_tensor, ("mean", "covariance", "count"))
    except (OSError, SafetensorError, KeyError, *NOT_JSON) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: not statistics of a reference set ({reason}); make them with --cache"
        ) from error
    return Statistics(gaussian=Gaussian(mean, covariance, int(count)), origin=origin)

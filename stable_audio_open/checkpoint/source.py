"""What every layout is read into."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stable_audio_open.checkpoint.weights.key_map import IDENTITY, KeyMap
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.model import ModelConfig

TEXT_ENCODER = "conditioner.texts.prompt.encoder."
"""Prefix of the text encoder's tensors in a whole model: usually a download of their own."""

HEADER = "stable_audio_open"
"""Top-level entry of our training checkpoints that describes their model."""


class Checkpoint(NamedTuple):
    """A configuration and the tensors that go with it."""

    config: ModelConfig
    tensors: dict[str, Tensor]
    """Tensors by the names of the file."""
    path: Path
    """The file or folder that they come from."""
    keys: KeyMap = IDENTITY
    """Native names to those of the file."""
    text_encoder: Path | None = None
    """Folder of the text encoder that came with it."""
    tokenizer: Path | None = None
    """Folder of its tokenizer."""


class TrainingHeader(NamedTuple):
    """What a checkpoint of our training says of its model."""

    config: str
    """The model's configuration as JSON."""
    lora: Mapping[str, Any] | None
    """Settings of the adapter that was trained, as peft writes them."""


def training_header(header: Mapping[str, Any], path: Path) -> TrainingHeader | None:
    """Return what a checkpoint says of its model; None for one of another program.

    Args:
        header: What the file holds beside its tensors, of any types.
        path: The file, for messages.

    Raises:
        CheckpointError: When the entry is there and is not what our training writes.
    """
    if HEADER not in header:
        return None
    entry = header[HEADER]
    config, lora = (entry.get("config"), entry.get("lora")) if isinstance(entry, dict) else (0, 0)
    if not isinstance(config, str) or not isinstance(lora, dict | None):
        raise CheckpointError(
            f"{path}: its entry {HEADER!r} is not what this library's training writes (a "
            "configuration as text, and settings of an adapter); copy the checkpoint again"
        )
    return TrainingHeader(config, lora)

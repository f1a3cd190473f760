"""What every layout is read into."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stable_audio_open.checkpoint.key_map import IDENTITY, KeyMap
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

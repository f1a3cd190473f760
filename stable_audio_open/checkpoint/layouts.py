"""Which layout a file or folder is in."""

from pathlib import Path

from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.tensors import CheckpointError


def read_checkpoint(path: Path, *, use_ema: bool = True) -> Checkpoint:
    """Read a checkpoint in any layout.

    Args:
        path: A file or a folder.
        use_ema: Take the averaged weights of a training checkpoint where it has any.

    Raises:
        CheckpointError: When the layout is unknown or the weights cannot be read.
        ConfigError: When the configuration cannot be read.
    """
    if path.is_dir():
        if native.is_native_folder(path):
            return native.read_native(path)
        raise CheckpointError(f"{path}: found no checkpoint")
    if native.is_native_file(path):
        if path.suffix == ".safetensors":
            return native.read_native(path)
        return native.read_training(path, use_ema=use_ema)
    raise CheckpointError(f"{path}: found no checkpoint")

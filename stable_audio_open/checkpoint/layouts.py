"""Which layout a file or folder is in."""

from pathlib import Path

from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.weights.sharded import check_variant
from stable_audio_open.checkpoint.weights.tensors import CheckpointError, refuse_what_is_no_file


def read_checkpoint(path: Path, *, use_ema: bool = True, variant: str | None = None) -> Checkpoint:
    """Read a checkpoint in any layout.

    A folder may hold several layouts of the same weights, as the published one does: the native
    one is taken first, then stable-audio-tools', then diffusers'.

    Args:
        path: A file or a folder.
        use_ema: Take the averaged weights of a training checkpoint where it has any.
        variant: Weights of a folder to read, such as fp16; None for the weights as such where they
            are there.

    Raises:
        CheckpointError: When the layout is unknown, the weights cannot be read, or there is no such
            variant.
        ConfigError: When the configuration cannot be read.
    """
    refuse_what_is_no_file(path)
    if path.is_dir():
        return _read_folder(path, use_ema=use_ema, variant=variant)
    if variant is not None:
        raise CheckpointError(
            f"{path}: is a file; variants are of folders and hub names: leave out {variant!r}"
        )
    if native.is_native_file(path):
        if path.suffix == ".safetensors":
            return native.read_native(path)
        return native.read_training(path, use_ema=use_ema)
    pair = sat.find(path)
    if pair is None:
        raise CheckpointError(
            f"{path}: found no configuration; put {sat.CONFIG} (or {sat.AUTOENCODER_CONFIG} for "
            "an autoencoder) beside it"
        )
    return sat.read_stable_audio_tools(*pair, use_ema=use_ema)


def _read_folder(path: Path, *, use_ema: bool, variant: str | None) -> Checkpoint:
    pair = sat.find(path)
    if native.is_native_folder(path) and (pair is None or native.is_native_file(pair[0])):
        return native.read_native(path, variant=variant)
    if pair is not None:
        check_variant(variant, (), (), source=str(path))  # the layout knows none
        return sat.read_stable_audio_tools(*pair, use_ema=use_ema)
    if diffusers.is_diffusers_folder(path):
        return diffusers.read_diffusers(path, variant=variant)
    if diffusers.is_autoencoder_folder(path):
        return diffusers.read_autoencoder(path, variant=variant)
    raise CheckpointError(
        f"{path}: found no checkpoint; allowed: {native.CONFIG} and {native.WEIGHTS}, or "
        f"{sat.CONFIG} and {' or '.join(sat.WEIGHTS)}, or {diffusers.INDEX}"
    )

"""Models written into folders, as `load` and `from_pretrained` read them."""

import os
from pathlib import Path
from typing import cast

import torch
from torch import nn

from stable_audio_open.arguments.checks import check_path
from stable_audio_open.checkpoint.native import (
    refuse_other_folder,
    save_native,
)
from stable_audio_open.checkpoint.stored import shard_bytes, stored_dtype, variant_name
from stable_audio_open.config.model import ModelConfig


def save_pretrained(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype | None = None,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a folder that `load` and `from_pretrained` read; a new one appears as a whole.

    The text encoder and its tokenizer are written with the rest of a whole model; adapters are part
    of the weights that they were merged into.

    Args:
        model: A `StableAudio` or an `AudioAutoencoder`.
        folder: New, empty, or with a model in this library's layout, whose files are
            replaced one by one; files of other names stay, and so do other variants.
        dtype: Type to store the weights in, None for their own, or the one that the variant's name
            says (`fp32`, `fp16`, `bf16`).
        variant: Write `model.fp16.safetensors` for `"fp16"`, which may lie beside other variants
            and the weights as such; `load(..., variant=...)` reads it.
        max_shard_size: Most bytes of weights in a file, such as `"5GB"`; more are written as
            `model-00001-of-00002.safetensors` and so on, with an index. None for one file.

    Raises:
        ValueError: When the folder holds something else, or other variants of another
            configuration; the type is unknown or another one than the variant's; or the variant or
            the size is none.
    """
    path, name = Path(check_path(folder, "folder")), variant_name(variant)
    chosen, most = stored_dtype(dtype, name), shard_bytes(max_shard_size)
    refuse_other_folder(folder, _config(model), variant=name)
    save_native(model, _config(model), path, dtype=chosen, variant=name, max_shard_size=most)


def _config(model: nn.Module) -> ModelConfig:
    return cast(ModelConfig, model.config)

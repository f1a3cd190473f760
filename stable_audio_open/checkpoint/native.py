"""Our own layouts: the folder that `save_native` writes, and the checkpoints of a training run.

The folder holds `config.json`, `model.safetensors` (with the configuration in its metadata too)
and, for a whole model, `text_encoder/` in the layout of transformers.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.folder import write_tensors, written_folder
from stable_audio_open.checkpoint.lora.merging import merged_state_dict
from stable_audio_open.checkpoint.precision import check_range, precise_names
from stable_audio_open.checkpoint.source import (
    HEADER,
    TEXT_ENCODER,
    Checkpoint,
    training_header,
)
from stable_audio_open.checkpoint.tensors import (
    CheckpointError,
    read_header,
    read_tensors,
)
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, ModelConfig
from stable_audio_open.config.read import decode_config, encode_config, model_part, read_config
from stable_audio_open.config.values.describe import found

logger = logging.getLogger(__name__)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TEXT_ENCODER_FOLDER = "text_encoder"
FORMAT = "stable_audio_open"
_DISCRIMINATOR = "discriminator."
_NOT_THE_MODEL = ("loss.", _DISCRIMINATOR)
"""What a training checkpoint holds besides the model."""


def is_native_folder(folder: Path) -> bool:
    """Say whether a folder holds the files that `save_native` writes."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def is_native_file(path: Path) -> bool:
    """Say whether a file is a lone `model.safetensors` of ours or a training checkpoint of ours."""
    header = read_header(path)
    return header.get("format") == FORMAT or HEADER in header


def read_native(source: Path) -> Checkpoint:
    """Read a folder, or its `model.safetensors` alone.

    Raises:
        CheckpointError: When the weights are missing or damaged.
        ConfigError: When the configuration is.
    """
    folder, path = (source, source / WEIGHTS) if source.is_dir() else (source.parent, source)
    file = read_tensors(path)
    if source.is_dir():
        config = read_config(folder / CONFIG)
        _warn_of_other_config(config, file.header, folder)
    else:
        config = decode_config(_metadata_config(file.header, path), source=str(path))
    text_encoder = folder / TEXT_ENCODER_FOLDER
    beside = text_encoder if text_encoder.is_dir() else None
    return Checkpoint(config, file.tensors, path, text_encoder=beside, tokenizer=beside)


def read_training(path: Path, *, use_ema: bool) -> Checkpoint:
    """Read a checkpoint of our own training, with the averaged weights where there are any.

    All of its bytes are compared with the checksums inside, about 1 GB a second.

    Raises:
        CheckpointError: When it is damaged.
    """
    file = read_tensors(path)
    description = training_header(file.header, path)
    if description is None:
        raise CheckpointError(f"{path}: not a checkpoint of this library's training")
    config = decode_config(description.config, source=str(path))
    averaged = "" if isinstance(config, AutoencoderModelConfig) else "transformer."
    tensors: dict[str, Tensor] = {}
    average: dict[str, Tensor] = {}
    unknown: dict[str, Tensor] = {}
    for name, tensor in file.tensors.items():
        if name.startswith("model."):
            tensors[name.removeprefix("model.")] = tensor
        elif name.startswith("ema."):
            average[averaged + name.removeprefix("ema.")] = tensor
        elif not name.startswith(_NOT_THE_MODEL):
            unknown[name] = tensor
    if use_ema and average:
        tensors = {k: v for k, v in tensors.items() if not k.startswith(averaged)} | average
    for name in unknown.keys() & tensors.keys():
        raise CheckpointError(f"{path}: holds {name} twice, once without `model.` before it")
    tensors |= unknown  # strict loading will tell that they are unexpected
    if description.lora is not None:
        tensors = merged_state_dict(tensors, description.lora, source=str(path))
    return Checkpoint(config, tensors, path)


def read_discriminator(path: Path) -> dict[str, Tensor]:
    """Read the discriminators of a checkpoint of our own training; nothing where it has none.

    Raises:
        CheckpointError: When the checkpoint is damaged.
    """
    if path.is_dir() or HEADER not in read_header(path):
        return {}
    return {
        name.removeprefix(_DISCRIMINATOR): tensor
        for name, tensor in read_tensors(path).tensors.items()
        if name.startswith(_DISCRIMINATOR)
    }


def save_native(
    model: nn.Module,
    config: ModelConfig,
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as a folder that `load` reads.

    Everything is written beside the folder and then moved into it, so that a failure leaves an
    older checkpoint there whole.

    Args:
        model: An `AudioAutoencoder` or a `LatentDiffusion`.
        config: Its configuration; only the description of the model is kept.
        folder: Created where it does not exist; files of other names in it stay.
        dtype: Type to store the weights in, None for their own; frequencies stay in float32.
    """
    with written_folder(folder) as scratch:
        _write(model, model_part(config), scratch, dtype)


def refuse_other_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse to write a model among files that are no model of ours.

    Raises:
        CheckpointError: The folder holds files, and not those of `save_native`.
    """
    folder = Path(folder)
    if not folder.is_dir() or (is_native_folder(folder) and is_native_file(folder / WEIGHTS)):
        return
    found = sorted(path.name for path in folder.iterdir())
    if found:
        raise CheckpointError(
            f"{folder}: holds {', '.join(found[:3])}{' and more' if found[3:] else ''}; allowed: "
            "a new or empty folder, or one that holds a model in this library's layout"
        )


def _write(model: nn.Module, config: ModelConfig, folder: Path, dtype: torch.dtype | None) -> None:
    text = encode_config(config)
    (folder / CONFIG).write_bytes(text)
    write_tensors(
        stored_tensors(model, dtype=dtype),
        folder / WEIGHTS,
        like=folder / CONFIG,
        metadata={"format": FORMAT, "config": text.decode()},
    )
    if not isinstance(config, AutoencoderModelConfig):
        write_text_encoder(model, folder / TEXT_ENCODER_FOLDER, dtype=dtype)


def stored_tensors(model: nn.Module, *, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return all tensors of a model as they are to be stored, without its text encoder's."""
    precise = precise_names(model)
    return {
        name: stored(name, tensor, None if name in precise else dtype)
        for name, tensor in model.state_dict().items()
        if not name.startswith(TEXT_ENCODER)
    }


def write_text_encoder(
    model: nn.Module,
    folder: Path,
    *,
    tokenizer_folder: Path | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write the text encoder and its tokenizer in the layout of transformers."""
    text_conditioner = model.get_submodule(TEXT_ENCODER.removesuffix(".encoder."))
    encoder: Any = text_conditioner.encoder
    tokenizer: Any = text_conditioner.tokenizer
    encoder.config.save_pretrained(folder)
    tokenizer.save_pretrained(tokenizer_folder or folder)
    write_tensors(
        {
            name.removeprefix(TEXT_ENCODER): stored(name, tensor, dtype)
            for name, tensor in _without_ties(model.state_dict()).items()
            if name.startswith(TEXT_ENCODER)
        },
        folder / WEIGHTS,
        like=folder / "config.json",
        metadata={"format": "pt"},
    )


def _without_ties(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep the first name of tensors that share their memory, as transformers does."""
    first: dict[int, str] = {}
    for name, tensor in state.items():
        first.setdefault(tensor.data_ptr(), name)
    return {name: state[name] for name in first.values()}


def stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor as it is written to a file.

    Raises:
        CheckpointError: It holds numbers that the type cannot.
    """
    check_range(name, tensor, dtype)
    return tensor.detach().to("cpu", dtype).contiguous()


def _warn_of_other_config(config: ModelConfig, header: Mapping[str, Any], folder: Path) -> None:
    """Say where a configuration is not the one that the weights were saved with.

    It may have been changed by hand, or the file of another model copied over it.
    """
    inside = header.get("config")
    if not isinstance(inside, str):
        return
    try:
        saved = decode_config(inside, source=str(folder / WEIGHTS))
    except ConfigError as error:
        logger.warning("%s; the one in %s is used", error, CONFIG)
        return
    if other := list(_differences(_plain(saved), _plain(config))):
        rest = f" and {len(other) - 3} more" if other[3:] else ""
        logger.warning(
            "%s: is not the configuration that %s was saved with (%s%s); it is used; unless it was "
            "changed on purpose, take both from one place",
            folder / CONFIG,
            WEIGHTS,
            ", ".join(other[:3]),
            rest,
        )


def _plain(config: ModelConfig) -> Any:
    """Return the description of a model as plain values, but for what it is called."""
    plain: dict[str, Any] = msgspec.to_builtins(model_part(config))
    del plain["name"]
    return plain


def _differences(one: Any, other: Any, path: str = "$") -> Iterator[str]:
    """Yield paths, with both values, where two configurations differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif one != other:
        yield f"{path}: {found(one)} there and {found(other)} here"


def _metadata_config(header: Mapping[str, Any], path: Path) -> str:
    config = header.get("config")
    if not isinstance(config, str):
        raise CheckpointError(
            f"{path}: found no configuration inside; load the folder that holds it and {CONFIG}"
        )
    return config

"""Our own layouts: the folder that `save_native` writes, and the checkpoints of a training run.

The folder holds `config.json`, `model.safetensors` (with the configuration in its metadata too)
and, for a whole model, `text_encoder/` in the layout of transformers. Weights may be in shards, and
there may be variants of them, as `checkpoint/weights/sharded.py` says.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.folder import written_folder
from stable_audio_open.checkpoint.lora.merging import merged_state_dict
from stable_audio_open.checkpoint.other_config import refuse_beside_other, warn_of_other_config
from stable_audio_open.checkpoint.source import (
    HEADER,
    TEXT_ENCODER,
    Checkpoint,
    training_header,
)
from stable_audio_open.checkpoint.weights.precision import check_range, precise_names
from stable_audio_open.checkpoint.weights.sharded import (
    check_variant,
    files_in,
    find_weights,
    holds,
    of_other_variants,
    read_weight_index,
    read_weights,
    write_weights,
)
from stable_audio_open.checkpoint.weights.tensors import (
    CheckpointError,
    read_header,
    read_tensors,
)
from stable_audio_open.config.model import AutoencoderModelConfig, ModelConfig
from stable_audio_open.config.read import decode_config, encode_config, model_part, read_config

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TEXT_ENCODER_FOLDER = "text_encoder"
CARD = "README.md"
FORMAT = "stable_audio_open"
_DISCRIMINATOR = "discriminator."
_NOT_THE_MODEL = ("loss.", _DISCRIMINATOR)
"""What a training checkpoint holds besides the model."""


def is_native_folder(folder: Path) -> bool:
    """Say whether a folder holds the files that `save_native` writes."""
    return (folder / CONFIG).is_file() and find_weights(files_in(folder), (WEIGHTS,)) is not None


def is_native_file(path: Path) -> bool:
    """Say whether a file is a lone `model.safetensors` of ours or a training checkpoint of ours."""
    header = read_header(path)
    return header.get("format") == FORMAT or HEADER in header


def read_native(source: Path, *, variant: str | None = None) -> Checkpoint:
    """Read a folder, or its `model.safetensors` alone.

    Args:
        source: The folder, or the file.
        variant: Weights of a folder to read, such as fp16; None for the weights as such where they
            are there.

    Raises:
        CheckpointError: When the weights are missing or damaged, or there is no such variant.
        ConfigError: When the configuration is.
    """
    if source.is_dir():
        check_variant(variant, [files_in(source)], (WEIGHTS,), source=str(source))
        path, tensors = read_weights(source, (WEIGHTS,), variant=variant)
        config = read_config(source / CONFIG)
        header = read_header(_one_file(path))
        warn_of_other_config(config, source / CONFIG, header, weights=path)
    else:
        _refuse_shard(source)
        path, (tensors, header) = source, read_tensors(source)
        config = decode_config(_metadata_config(header, path), source=str(path))
    text_encoder = path.parent / TEXT_ENCODER_FOLDER
    beside = text_encoder if text_encoder.is_dir() else None
    return Checkpoint(config, tensors, path, text_encoder=beside, tokenizer=beside)


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
    variant: str | None = None,
    max_shard_size: int | None = None,
    card: str | None = None,
) -> None:
    """Write a model as a folder that `load` reads.

    Everything is written beside the folder and then moved into it, so that a failure leaves an
    older checkpoint there whole.

    Args:
        model: An `AudioAutoencoder` or a `LatentDiffusion`.
        config: Its configuration; only the description of the model is kept.
        folder: Created where it does not exist; files of other names in it stay, but for weights of
            the same variant.
        dtype: Type to store the weights in, None for their own; frequencies stay in float32.
        variant: What the names of the weights' files say, such as fp16; None for nothing.
        max_shard_size: Most bytes of weights in a file; None for one file.
        card: Text of the model's card; None leaves the one that is there.
    """
    config = model_part(config)
    text = encode_config(config)
    with written_folder(folder, replaced=lambda path: is_written(path, variant)) as scratch:
        (scratch / CONFIG).write_bytes(text)
        write_weights(
            stored_tensors(model, dtype=dtype),
            scratch / WEIGHTS,
            like=scratch / CONFIG,
            metadata={"format": FORMAT, "config": text.decode()},
            variant=variant,
            max_shard_size=max_shard_size,
        )
        if not isinstance(config, AutoencoderModelConfig):
            write_text_encoder(
                model,
                scratch / TEXT_ENCODER_FOLDER,
                dtype=dtype,
                variant=variant,
                max_shard_size=max_shard_size,
            )
        if card is not None:
            (scratch / CARD).write_text(card, encoding="utf-8")


def is_written(path: PurePath, variant: str | None) -> bool:
    """Say whether a file in a folder of ours has weights of one variant, or a part of them."""
    return str(path.parent) in (".", TEXT_ENCODER_FOLDER) and holds(path.name, WEIGHTS, variant)


def refuse_other_folder(
    folder: str | os.PathLike[str], config: ModelConfig, *, variant: str | None = None
) -> None:
    """Refuse to write a model among files that are no model of ours, or of another one.

    Args:
        folder: Where it is written.
        config: Its configuration.
        variant: Variant of its weights.

    Raises:
        CheckpointError: The folder holds files, and not those of `save_native`; or weights of other
            variants that would stay, of another configuration.
    """
    folder = Path(folder)
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    weights = find_weights(files_in(folder), (WEIGHTS,))
    if CONFIG in found and weights and is_native_file(_one_file(folder / weights.file)):
        if staying := of_other_variants(files_in(folder), WEIGHTS, variant):
            there = read_config(folder / CONFIG)
            refuse_beside_other(config, there, staying, source=str(folder))
    elif found:
        raise CheckpointError(
            f"{folder}: holds {', '.join(found[:3])}{' and more' if found[3:] else ''}; allowed: "
            "a new or empty folder, or one that holds a model in this library's layout"
        )


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
    variant: str | None = None,
    max_shard_size: int | None = None,
) -> None:
    """Write the text encoder and its tokenizer in the layout of transformers."""
    text_conditioner = model.get_submodule(TEXT_ENCODER.removesuffix(".encoder."))
    encoder: Any = text_conditioner.encoder
    tokenizer: Any = text_conditioner.tokenizer
    encoder.config.save_pretrained(folder)
    tokenizer.save_pretrained(tokenizer_folder or folder)
    write_weights(
        {
            name.removeprefix(TEXT_ENCODER): stored(name, tensor, dtype)
            for name, tensor in _without_ties(model.state_dict()).items()
            if name.startswith(TEXT_ENCODER)
        },
        folder / WEIGHTS,
        like=folder / "config.json",
        metadata={"format": "pt"},
        variant=variant,
        max_shard_size=max_shard_size,
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


def _one_file(weights: Path) -> Path:
    """Return the file of weights, or the first that their index names."""
    if weights.suffix != ".json":
        return weights
    return weights.with_name(min(read_weight_index(weights)))


def _refuse_shard(path: Path) -> None:
    """Refuse a part of some weights that lies beside their index."""
    if re.search(r"-\d+-of-\d+", path.name) and any(path.parent.glob(f"{WEIGHTS}.index*.json")):
        raise CheckpointError(f"{path}: is a part of the weights; load the folder {path.parent}")


def _metadata_config(header: Mapping[str, Any], path: Path) -> str:
    config = header.get("config")
    if not isinstance(config, str):
        raise CheckpointError(
            f"{path}: found no configuration inside; load the folder that holds it and {CONFIG}"
        )
    return config

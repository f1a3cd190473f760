"""Low-rank adapters of the transformer, in peft's format and inside our training checkpoints."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stable_audio_open.arguments.checks import check_number, check_path, is_list, wrong_type
from stable_audio_open.checkpoint.folder import write_tensors, written_folder
from stable_audio_open.checkpoint.lora.settings import adapter_settings
from stable_audio_open.checkpoint.source import training_header
from stable_audio_open.checkpoint.tensors import CheckpointError, read_tensors
from stable_audio_open.config.values.json_text import parse_json
from stable_audio_open.nn.weights import type_fault, value_fault

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.", ".lora_B."
BASE = ".base_layer."

_TRANSFORMER = "model.transformer."


class Adapter(NamedTuple):
    """Additions `scale * up @ down` to weights of linear layers."""

    down: dict[str, Tensor]
    """First matrix of each layer, `[rank, inputs]`."""
    up: dict[str, Tensor]
    """Second matrix of each layer, `[outputs, rank]`."""
    scale: float
    settings: dict[str, Any]
    """Settings as in peft's `adapter_config.json`."""
    source: str


def check_adapters(lora: object) -> list[tuple[str, float]]:
    """Return adapters as folders with weights.

    Raises:
        TypeError: They are no list of such pairs.
        ValueError: A weight is not finite.
    """
    pairs = "pairs (folder, weight)"
    if not is_list(lora):
        raise wrong_type(lora, "lora", f"a list of {pairs}")
    adapters = []
    for one in lora:
        if not is_list(one) or len(one) != 2:
            raise wrong_type(one, "lora", pairs)
        folder, weight = check_path(one[0], "a folder of lora"), one[1]
        weight = check_number(weight, f"the weight of lora {folder}")
        if not math.isfinite(weight):
            raise ValueError(f"the weight of lora {folder} must be a finite number, got {weight}")
        adapters.append((folder, weight))
    return adapters


def read_adapter(folder: str | os.PathLike[str]) -> Adapter:
    """Read an adapter in peft's format.

    Raises:
        CheckpointError: When files are missing or it is of a kind that is not supported.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: holds no {name}; give a folder that peft could load")
    settings = parse_json((folder / CONFIG).read_bytes(), source=str(folder / CONFIG))
    found = read_tensors(folder / WEIGHTS).tensors
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in found.items()}
    if len(tensors) < len(found):
        raise CheckpointError(
            f"{folder / WEIGHTS}: holds tensors with and without {PREFIX} before the same name; "
            "save it again with peft"
        )
    return _adapter(tensors, settings, source=str(folder), ending="weight")


def adapter_hash(folder: str | os.PathLike[str]) -> str:
    """Return 16 digits of SHA-256 over the weights and settings of an adapter in peft's format."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()[:16]


def read_trained_adapter(path: Path, *, use_ema: bool = True) -> Adapter:
    """Read the adapter inside a checkpoint of our own training.

    Raises:
        CheckpointError: When there is none.
    """
    if path.is_dir():
        raise CheckpointError(
            f"{path}: is a folder; give the checkpoint of a run with training.lora, such as "
            "runs/NAME/checkpoints/last.ckpt"
        )
    tensors, header = read_tensors(path)
    description = training_header(header, path)
    if description is None or description.lora is None:
        raise CheckpointError(f"{path}: holds no adapter; it was not trained with training.lora")
    prefix = "ema." if use_ema and any(k.startswith("ema.") for k in tensors) else _TRANSFORMER
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix) and (DOWN in name or UP in name)
    }
    return _adapter(own, description.lora, source=str(path), ending="default.weight")


def save_adapter(adapter: Adapter, folder: str | os.PathLike[str]) -> None:
    """Write an adapter in peft's format."""
    tensors = {f"{PREFIX}{k}{DOWN}weight": v for k, v in adapter.down.items()}
    tensors |= {f"{PREFIX}{k}{UP}weight": v for k, v in adapter.up.items()}
    with written_folder(folder) as scratch:
        (scratch / CONFIG).write_text(json.dumps(adapter.settings, indent=2) + "\n")
        write_tensors(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            scratch / WEIGHTS,
            like=scratch / CONFIG,
            metadata={"format": "pt"},
        )


def adapter_names(adapters: Sequence[tuple[str | os.PathLike[str], float]]) -> tuple[str, ...]:
    """Return each adapter as commands take it, weight included: `FOLDER:0.5`."""
    return tuple(f"{os.fspath(folder)}:{weight:g}" for folder, weight in adapters)


@torch.no_grad()
def merge_adapter(transformer: nn.Module, adapter: Adapter, *, weight: float = 1.0) -> None:
    """Add an adapter to the weights of a transformer, in float32.

    Args:
        transformer: Its layers become float32 where they are changed.
        adapter: Several are merged one after the other.
        weight: 1 for its full effect, 0 for none.

    Raises:
        CheckpointError: When a layer is not there or has another size, or when a sum is not
            finite; nothing is changed then.
    """
    modules = dict(transformer.named_modules())
    merged: dict[str, Tensor] = {}
    for name, down in adapter.down.items():
        layer, up = modules.get(name), adapter.up[name]
        shape = [up.shape[0], down.shape[1]]
        if not isinstance(layer, nn.Linear) or list(layer.weight.shape) != shape:
            raise CheckpointError(
                f"{adapter.source}: was made for another model: {name} is {shape} there and "
                f"{_described(layer)} here"
            )
        change = (up.float() @ down.float()).to(layer.weight.device)
        merged[name] = layer.weight.float() + (weight * adapter.scale) * change
    if fault := value_fault(merged):
        raise CheckpointError(f"{adapter.source}: merged with the weight {weight:g}, {fault}")
    for name, tensor in merged.items():
        layer = modules[name]
        layer.weight = nn.Parameter(tensor, requires_grad=layer.weight.requires_grad)


def merged_state_dict(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any], *, source: str
) -> dict[str, Tensor]:
    """Return the plain weights of a transformer that was trained with an adapter.

    Raises:
        CheckpointError: When a pair of matrices is not there as a whole, of another type or shape,
            or not finite.
    """
    adapted = {name: t for name, t in tensors.items() if DOWN in name or UP in name or BASE in name}
    _check_numbers(adapted, source)
    pairs = {name: tensor for name, tensor in adapted.items() if BASE not in name}
    adapter = _adapter(pairs, settings, source=source, ending="default.weight")
    plain = {
        name.replace(BASE, "."): tensor for name, tensor in tensors.items() if name not in pairs
    }
    for layer, down in adapter.down.items():
        base, up = tensors.get(f"{layer}{BASE}weight"), adapter.up[layer]
        if base is None or base.shape != (up.shape[0], down.shape[1]):
            found = "is not there" if base is None else f"is {list(base.shape)}"
            raise CheckpointError(
                f"{source}: the adapter of {layer} is for a weight of "
                f"{[up.shape[0], down.shape[1]]}, which {found}"
            )
        plain[f"{layer}.weight"] = base + adapter.scale * (up.to(base.dtype) @ down.to(base.dtype))
    return plain


def _adapter(
    tensors: Mapping[str, Tensor], settings: object, *, source: str, ending: str
) -> Adapter:
    rank, scale = adapter_settings(settings, source=source)
    assert isinstance(settings, Mapping)
    down, up = (
        {
            name.removesuffix(side + ending): tensor
            for name, tensor in tensors.items()
            if name.endswith(side + ending)
        }
        for side in (DOWN, UP)
    )
    if not down or down.keys() != up.keys():
        raise CheckpointError(f"{source}: holds no pairs of {DOWN[1:-1]} and {UP[1:-1]} weights")
    rest = [name for name in tensors if not name.endswith((DOWN + ending, UP + ending))]
    if rest:
        raise CheckpointError(
            f"{source}: holds {len(rest)} tensors that are no {DOWN[1:-1]} or {UP[1:-1]} weight, "
            f"{rest[0]} first; allowed: plain LoRA, each tensor of which is merged"
        )
    _check_numbers(tensors, source)
    for name in down:
        for side, matrix, place in ((DOWN, down[name], 0), (UP, up[name], -1)):
            if matrix.ndim != 2 or matrix.shape[place] != rank:
                takes = f"[{rank}, inputs]" if side == DOWN else f"[outputs, {rank}]"
                raise CheckpointError(
                    f"{source}: {side[1:-1]} of {name} is {list(matrix.shape)}; allowed: {takes}, "
                    f"since r is {rank}"
                )
    return Adapter(down, up, scale, dict(settings), source)


def _check_numbers(tensors: Mapping[str, Tensor], source: str) -> None:
    if fault := type_fault(tensors, dict.fromkeys(tensors, torch.empty(0))) or value_fault(tensors):
        raise CheckpointError(f"{source}: {fault}")


def _described(layer: nn.Module | None) -> str:
    if isinstance(layer, nn.Linear):
        return str(list(layer.weight.shape))
    return "no such layer" if layer is None else f"a {type(layer).__name__}"

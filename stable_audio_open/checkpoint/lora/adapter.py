"""Low-rank adapters of the transformer, in peft's format and inside our training checkpoints."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stable_audio_open.arguments.checks import (
    check_number,
    check_path,
    is_list,
    is_number,
    wrong_type,
)
from stable_audio_open.checkpoint.folder import write_tensors, written_folder
from stable_audio_open.checkpoint.lora.other_kinds import refuse_other_kind
from stable_audio_open.checkpoint.lora.settings import adapter_settings
from stable_audio_open.checkpoint.source import training_header
from stable_audio_open.checkpoint.weights.tensors import CheckpointError, read_tensors
from stable_audio_open.config.values.json_text import parse_json
from stable_audio_open.nn.low_rank import LowRank
from stable_audio_open.nn.weights import type_fault, value_fault

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
DOWN, UP, MAGNITUDE = ".lora_A.", ".lora_B.", ".lora_magnitude_vector"
BASE = ".base_layer."
_NO_MAGNITUDES: Mapping[str, Tensor] = MappingProxyType({})

_TRANSFORMER = "model.transformer."


class Adapter(NamedTuple):
    """Changes of the weights of linear layers, see `LowRank`."""

    down: dict[str, Tensor]
    """First matrix of each layer, `[rank, inputs]`."""
    up: dict[str, Tensor]
    """Second matrix of each layer, `[outputs, rank]`."""
    scale: float
    settings: dict[str, Any]
    """Settings as in peft's `adapter_config.json`."""
    source: str
    magnitude: Mapping[str, Tensor] = _NO_MAGNITUDES
    """Length of each row of each adapted weight, `[outputs]`; none but of DoRA."""

    def layers(self) -> dict[str, LowRank]:
        """Return the change of each layer by its name."""
        return {
            name: LowRank(down, self.up[name], self.scale, self.magnitude.get(name))
            for name, down in self.down.items()
        }


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
            refuse_other_kind(folder)
            raise CheckpointError(f"{folder}: holds no {name}; give a folder that peft could load")
    settings = parse_json((folder / CONFIG).read_bytes(), source=str(folder / CONFIG))
    found = read_tensors(folder / WEIGHTS).tensors
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in found.items()}
    if len(tensors) < len(found):
        raise CheckpointError(
            f"{folder / WEIGHTS}: holds tensors with and without {PREFIX} before the same name; "
            "save it again with peft"
        )
    return adapter_of(tensors, settings, source=str(folder), ending="weight")


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
        if name.startswith(prefix) and is_adapters(name)
    }
    return adapter_of(own, description.lora, source=str(path), ending="default.weight")


def save_adapter(adapter: Adapter, folder: str | os.PathLike[str]) -> None:
    """Write an adapter in peft's format."""
    tensors = {f"{PREFIX}{k}{DOWN}weight": v for k, v in adapter.down.items()}
    tensors |= {f"{PREFIX}{k}{UP}weight": v for k, v in adapter.up.items()}
    tensors |= {f"{PREFIX}{k}{MAGNITUDE}": v for k, v in adapter.magnitude.items()}
    with written_folder(folder) as scratch:
        (scratch / CONFIG).write_text(json.dumps(adapter.settings, indent=2) + "\n")
        write_tensors(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            scratch / WEIGHTS,
            like=scratch / CONFIG,
            metadata={"format": "pt"},
        )


def adapter_names(adapters: Sequence[tuple[str | os.PathLike[str], object]]) -> tuple[str, ...]:
    """Return each adapter as commands take it, weight included: `FOLDER:0.5`.

    Raises:
        ValueError: One is not merged as a whole.
    """
    for folder, weight in adapters:
        if not is_number(weight):
            raise ValueError(
                f"{os.fspath(folder)}: is measured as a whole; give a weight alone, got {weight}"
            )
    return tuple(f"{os.fspath(folder)}:{weight:g}" for folder, weight in adapters)


def is_adapters(name: str) -> bool:
    """Tell whether a tensor of a transformer is an adapter's, by its name."""
    return DOWN in name or UP in name or f"{MAGNITUDE}." in f"{name}."


def adapter_of(
    tensors: Mapping[str, Tensor], settings: object, *, source: str, ending: str
) -> Adapter:
    """Return an adapter, all tensors of which are used.

    Args:
        tensors: Tensors by layer.
        settings: As in peft's `adapter_config.json`.
        source: Where they come from, for messages.
        ending: What follows the names of the matrices.

    Raises:
        CheckpointError: The settings are of another kind, or the tensors do not fit them.
    """
    rank, scale, is_dora = adapter_settings(settings, source=source)
    assert isinstance(settings, Mapping)
    down, up = (_ending(tensors, side + ending) for side in (DOWN, UP))
    lengths = _ending(tensors, MAGNITUDE) | _ending(tensors, f"{MAGNITUDE}.{ending}")
    if not down or down.keys() != up.keys():
        raise CheckpointError(f"{source}: holds no pairs of {DOWN[1:-1]} and {UP[1:-1]} weights")
    if is_dora and lengths.keys() != down.keys():
        raise CheckpointError(
            f"{source}: use_dora is True, and {len(lengths)} of {len(down)} layers have a "
            f"{MAGNITUDE[1:]}; allowed: one for each, save it again with peft"
        )
    rest = len(tensors) - len(down) - len(up) - (len(lengths) if is_dora else 0)
    if rest:
        parts = [DOWN + ending, UP + ending, *([MAGNITUDE, f"{MAGNITUDE}.{ending}"] * is_dora)]
        first = next(name for name in tensors if not name.endswith(tuple(parts)))
        raise CheckpointError(
            f"{source}: holds {rest} tensors that are no {DOWN[1:-1]} or {UP[1:-1]} weight, "
            f"{first} first; allowed: plain LoRA and DoRA, each tensor of which is merged"
        )
    check_numbers(tensors, source)
    for name in down:
        shapes = ((DOWN, down[name], 0), (UP, up[name], -1))
        for side, matrix, place in shapes:
            if matrix.ndim != 2 or matrix.shape[place] != rank:
                takes = f"[{rank}, inputs]" if side == DOWN else f"[outputs, {rank}]"
                raise CheckpointError(
                    f"{source}: {side[1:-1]} of {name} is {list(matrix.shape)}; allowed: {takes}, "
                    f"since r is {rank}"
                )
        if is_dora and lengths[name].shape != (up[name].shape[0],):
            raise CheckpointError(
                f"{source}: {MAGNITUDE[1:]} of {name} is {list(lengths[name].shape)}; allowed: "
                f"[{up[name].shape[0]}], one for each row of {UP[1:-1]}"
            )
    return Adapter(down, up, scale, dict(settings), source, lengths)


def _ending(tensors: Mapping[str, Tensor], ending: str) -> dict[str, Tensor]:
    return {
        name.removesuffix(ending): tensor
        for name, tensor in tensors.items()
        if name.endswith(ending)
    }


def check_numbers(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors that are of another type, or not finite.

    Raises:
        CheckpointError: Naming the first.
    """
    if fault := type_fault(tensors, dict.fromkeys(tensors, torch.empty(0))) or value_fault(tensors):
        raise CheckpointError(f"{source}: {fault}")

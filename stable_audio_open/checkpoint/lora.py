"""Low-rank adapters of the transformer, in peft's format and inside our training checkpoints."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.folder import write_tensors, written_beside
from stable_audio_open.checkpoint.source import HEADER
from stable_audio_open.checkpoint.tensors import CheckpointError, read_header, read_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.", ".lora_B."
BASE = ".base_layer."

_TRANSFORMER = "model.transformer."

_PLAIN: Mapping[str, Any] = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""Settings of peft that change what an adapter means, and the only values supported here."""


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


def read_adapter(folder: str | os.PathLike[str]) -> Adapter:
    """Read an adapter in peft's format.

    Raises:
        CheckpointError: When files are missing or it is of a kind that is not supported.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: holds no {name}; give a folder that peft could load")
    settings: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{folder}: peft_type is {settings.get('peft_type')!r}; allowed: 'LORA'"
        )
    for name, plain in _PLAIN.items():
        if settings.get(name, plain) not in (plain, None):
            raise CheckpointError(
                f"{folder}: {name} is {settings[name]!r}; allowed: {plain!r}, other adapters are "
                "not supported"
            )
    tensors = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in read_tensors(folder / WEIGHTS).tensors.items()
    }
    return _adapter(tensors, settings, source=str(folder), ending="weight")


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
    header = read_header(path).get(HEADER) or {}
    if "lora" not in header:
        raise CheckpointError(f"{path}: holds no adapter; it was not trained with training.lora")
    tensors = read_tensors(path).tensors
    prefix = "ema." if use_ema and any(k.startswith("ema.") for k in tensors) else _TRANSFORMER
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return _adapter(own, header["lora"], source=str(path), ending="default.weight")


def save_adapter(adapter: Adapter, folder: str | os.PathLike[str]) -> None:
    """Write an adapter in peft's format."""
    tensors = {f"{PREFIX}{k}{DOWN}weight": v for k, v in adapter.down.items()}
    tensors |= {f"{PREFIX}{k}{UP}weight": v for k, v in adapter.up.items()}
    with written_beside(folder) as scratch:
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
        CheckpointError: When a layer is not there or has another size; nothing is changed then.
    """
    modules = dict(transformer.named_modules())
    changes: list[tuple[nn.Linear, Tensor]] = []
    for name, down in adapter.down.items():
        layer, up = modules.get(name), adapter.up[name]
        fits = isinstance(layer, nn.Linear) and layer.weight.shape == (up.shape[0], down.shape[1])
        if not isinstance(layer, nn.Linear) or not fits:
            found = list(layer.weight.shape) if isinstance(layer, nn.Linear) else "no such layer"
            raise CheckpointError(
                f"{adapter.source}: was made for another model: {name} is "
                f"{[up.shape[0], down.shape[1]]} there and {found} here"
            )
        changes.append((layer, up.float() @ down.float()))
    for layer, change in changes:
        device = layer.weight.device
        merged = layer.weight.float() + (weight * adapter.scale) * change.to(device)
        layer.weight = nn.Parameter(merged, requires_grad=layer.weight.requires_grad)


def merged_state_dict(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return the plain weights of a transformer that was trained with an adapter."""
    scale = _scale(settings)
    plain = {}
    for name, tensor in tensors.items():
        if DOWN in name or UP in name:
            continue
        merged = tensor
        if BASE in name:
            layer, leaf = name.split(BASE)
            if leaf == "weight":
                down, up = (tensors[f"{layer}{side}default.weight"] for side in (DOWN, UP))
                merged = tensor + scale * (up @ down)
            name = f"{layer}.{leaf}"
        plain[name] = merged
    return plain


def _adapter(
    tensors: Mapping[str, Tensor], settings: dict[str, Any], *, source: str, ending: str
) -> Adapter:
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
    return Adapter(down, up, _scale(settings), settings, source)


def _scale(settings: Mapping[str, Any]) -> float:
    rank = int(settings["r"])
    divisor = math.sqrt(rank) if settings.get("use_rslora") else rank
    return float(settings["lora_alpha"]) / divisor

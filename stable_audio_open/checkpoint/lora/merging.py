"""Adapters in the weights of a transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.lora.adapter import (
    BASE,
    Adapter,
    adapter_of,
    check_numbers,
    is_adapters,
)
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.nn.low_rank import LowRank, adapted_weight
from stable_audio_open.nn.weights import value_fault


def check_fit(transformer: nn.Module, adapter: Adapter) -> None:
    """Check that an adapter is one of this transformer.

    Raises:
        CheckpointError: When a layer is not there or has another size.
    """
    modules = dict(transformer.named_modules())
    for name, down in adapter.down.items():
        layer, shape = modules.get(name), [adapter.up[name].shape[0], down.shape[1]]
        if not isinstance(layer, nn.Linear) or list(layer.weight.shape) != shape:
            raise CheckpointError(
                f"{adapter.source}: was made for another model: {name} is {shape} there and "
                f"{_described(layer)} here"
            )


@torch.no_grad()
def merge_adapters(transformer: nn.Module, adapters: Sequence[tuple[Adapter, float]]) -> None:
    """Add adapters to the weights of a transformer, in float32.

    Args:
        transformer: Its layers become float32 where they are changed.
        adapters: Adapters in their order, with their weights: 1 for the full effect, 0 for none.

    Raises:
        CheckpointError: When a layer is not there or has another size, or when a sum is not
            finite; nothing is changed then.
    """
    changes: dict[str, list[tuple[LowRank, float]]] = {}
    for adapter, amount in adapters:
        check_fit(transformer, adapter)
        for name, change in adapter.layers().items():
            changes.setdefault(name, []).append((change, amount))
    modules = dict(transformer.named_modules())
    merged = {name: adapted_weight(modules[name].weight, of) for name, of in changes.items()}
    if fault := value_fault(merged):
        sources = ", ".join(adapter.source for adapter, _ in adapters)
        amounts = ", ".join(f"{amount:g}" for _, amount in adapters)
        raise CheckpointError(f"{sources}: merged with the weight {amounts}, {fault}")
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
    check_numbers({k: t for k, t in tensors.items() if is_adapters(k) or BASE in k}, source)
    parts = {name: tensor for name, tensor in tensors.items() if is_adapters(name)}
    adapter = adapter_of(parts, settings, source=source, ending="default.weight")
    plain = {
        name.replace(BASE, "."): tensor for name, tensor in tensors.items() if name not in parts
    }
    for layer, change in adapter.layers().items():
        base, shape = tensors.get(f"{layer}{BASE}weight"), (len(change.up), change.down.shape[1])
        if base is None or base.shape != shape:
            found = "is not there" if base is None else f"is {list(base.shape)}"
            raise CheckpointError(
                f"{source}: the adapter of {layer} is for a weight of {list(shape)}, which {found}"
            )
        plain[f"{layer}.weight"] = change.added(base, 1.0, own=base)
    return plain


def _described(layer: nn.Module | None) -> str:
    if isinstance(layer, nn.Linear):
        return str(list(layer.weight.shape))
    return "no such layer" if layer is None else f"a {type(layer).__name__}"

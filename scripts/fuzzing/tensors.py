"""Mutations of named tensors, and what loaded models must be like."""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from fuzzing.child import SilentLoadError

Tensors = dict[str, Tensor]
NUMBERS = (torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.complex64)
LESSER = (torch.float16, torch.bfloat16, torch.float64)
"""Types of weights that are read."""


class DamagedTensors(NamedTuple):
    """Tensors after a mutation."""

    tensors: Tensors
    words: str
    is_wrong: bool
    """They must be refused."""


def damage_tensors(
    tensors: Mapping[str, Tensor], random: Random, *, pickled: bool = False
) -> DamagedTensors:
    """Return the tensors with one of them mutated.

    Args:
        tensors: By name.
        random: Where choices come from.
        pickled: They are for `torch.save`, which keeps more kinds than safetensors.
    """
    changed = dict(tensors)
    name = random.choice(sorted(changed))
    mutations: list[Callable[[Tensors, str, Random], tuple[str, bool]]] = [
        *(_other_type, _other_type, _not_finite, _not_finite, _lesser),
        *(_left_out, _added, _renamed, _reshaped, _reshaped, _emptied),
    ]
    if pickled:
        mutations += [_other_form, _other_form, _huge_view]
    words, is_wrong = random.choice(mutations)(changed, name, random)
    return DamagedTensors(changed, f"{name} {words}", is_wrong)


def _other_type(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    kind = random.choice(NUMBERS)
    tensors[name] = (20 * tensors[name]).to(kind)
    return f"is {kind}", True


def _lesser(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    kind = random.choice(LESSER)
    tensors[name] = tensors[name].to(kind)
    return f"is {kind}", False


def _not_finite(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    value = random.choice((math.nan, math.inf, -math.inf))
    tensors[name] = tensors[name].clone()
    numbers = tensors[name].view(-1)
    if not len(numbers):
        return "stays empty", False
    numbers[random.randrange(len(numbers))] = value
    return f"holds {value}", True


def _left_out(tensors: Tensors, name: str, _: Random) -> tuple[str, bool]:
    del tensors[name]
    return "is left out", True


def _added(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    other = random.choice((f"{name}_more", f"more.{name}", f"{name}.weight"))
    tensors[other] = tensors[name].clone()
    return f"is there as {other} too", True


def _renamed(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    other = random.choice((name.upper(), f"{name}.", name[1:]))
    tensors[other] = tensors.pop(name)
    return f"is called {other!r}", True


def _reshaped(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    old = tensors[name]
    choices = (old[None], old[..., None], old.flatten(), old.mT if old.ndim > 1 else old[None])
    new = random.choice(choices).contiguous()
    if new.shape == old.shape:
        new = old[None]
    tensors[name] = new.clone()
    return f"has the shape {list(new.shape)} instead of {list(old.shape)}", True


def _emptied(tensors: Tensors, name: str, _: Random) -> tuple[str, bool]:
    tensors[name] = torch.empty(0)
    return "has no numbers", True


def _other_form(tensors: Tensors, name: str, random: Random) -> tuple[str, bool]:
    old = tensors[name].float()
    form = random.choice(("sparse", "meta", "quantised", "requires grad"))
    match form:
        case "sparse":
            tensors[name] = old.to_sparse()
        case "meta":
            tensors[name] = old.to("meta")
        case "quantised":
            tensors[name] = torch.quantize_per_tensor(old, 0.1, 0, torch.qint8)
        case _:
            tensors[name] = torch.nn.Parameter(old)
    return f"is {form}", form != "requires grad"


def _huge_view(tensors: Tensors, name: str, _: Random) -> tuple[str, bool]:
    tensors[name] = torch.zeros(1).expand(1 << 40)
    return "is one number seen 2^40 times", True


def check_state(state: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> None:
    """Check that a loaded model has the tensors of the original, and numbers in them.

    Raises:
        SilentLoadError: It has not.
    """
    if state.keys() != original.keys():
        different = sorted(state.keys() ^ original.keys())
        raise SilentLoadError(f"{different[0]} is there in one of original and loaded model alone")
    for name, tensor in state.items():
        if tensor.shape != original[name].shape:
            raise SilentLoadError(
                f"{name} is {list(tensor.shape)}, not {list(original[name].shape)}"
            )
        if tensor.dtype != original[name].dtype or tensor.is_meta:
            raise SilentLoadError(f"{name} is {tensor.dtype} on {tensor.device}")
        if not torch.isfinite(tensor).all():
            raise SilentLoadError(f"{name} holds NaN or infinity")


def check_same(state: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> None:
    """Check that a loaded model has the numbers of the original.

    Raises:
        SilentLoadError: It has others.
    """
    for name, tensor in state.items():
        if not torch.equal(tensor, original[name]):
            raise SilentLoadError(f"{name} has other numbers than were written")

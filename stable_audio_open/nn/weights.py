"""Which tensors of a file can be the weights of a network."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
"""Types of counters and positions, which networks hold beside their weights."""

ALLOWED = (
    "allowed: finite numbers in float32, float16, bfloat16 or float64; save the weights again with "
    "the program that wrote them, or copy or download the file again"
)


def type_fault(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Say which tensors are of a type or form that their place does not take; no number is read.

    A place of floating-point numbers takes dense ones of half, single and double precision, and a
    place of integers takes integers. Booleans, complex numbers, 8-bit floats without their scales,
    and sparse, quantised, nested and meta tensors have no place.

    Args:
        found: Tensors by name. Names that are not wanted are passed over.
        wanted: What a network has under these names; it may be on the meta device.
    """
    faults = [
        f"{name} is {fault}"
        for name, place in wanted.items()
        if name in found and (fault := _form(found[name], place))
    ]
    return told(faults)


def value_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """Say which tensors hold NaN or infinity, or numbers that are infinite in single precision.

    Every number is read once: their sum is finite if all of them are. Of a mapped file that is in
    memory, 3 GB (a busy machine) to 27 GB (an idle one) take a second on one core, where `isfinite`
    takes forty times as long; of one that is not, as long as the disk needs.

    Args:
        tensors: Dense tensors by name; those that are not floating-point are passed over.
    """
    return told(value_faults(tensors))


def value_faults(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return a fault for each tensor that `value_fault` would tell of."""
    return [
        f"{name} holds {fault}"
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and (fault := _not_finite(tensor))
    ]


def _form(tensor: Tensor, place: Tensor) -> str | None:
    if tensor.is_meta:
        return "a meta tensor, which holds no numbers"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return f"quantised ({_name(tensor.dtype)})"
    if tensor.layout != torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    takes = FLOATS if place.is_floating_point() else INTEGERS
    return None if tensor.dtype in takes else f"of the type {_name(tensor.dtype)}"


@torch.no_grad()
def _not_finite(tensor: Tensor) -> str | None:
    # As what it will be computed with: 1e300 is infinite there.
    single = tensor.float() if tensor.dtype == torch.float64 else tensor
    if single.sum().isfinite():
        return None
    # Large numbers may add up to infinity, each of them finite.
    if single.isnan().any():
        return "NaN"
    if not single.isinf().any():
        return None
    return "infinity" if tensor.isinf().any() else "numbers that float32 cannot hold"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def told(faults: Sequence[str]) -> str | None:
    """Return the first fault, and how many there are; None where there is none."""
    if not faults:
        return None
    more = f" ({len(faults)} such tensors, of which this is the first)" if faults[1:] else ""
    return f"{faults[0]}{more}; {ALLOWED}"

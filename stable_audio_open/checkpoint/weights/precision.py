"""Types of weights, and which tensors stay in single precision when the others do not."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stable_audio_open.arguments.checks import wrong_type
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.nn.device import AUTO, check_device_dtype, fast_dtype
from stable_audio_open.nn.fourier import FourierFeatures
from stable_audio_open.nn.rotary import RotaryEmbedding

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}

VARIABLE = "STABLE_AUDIO_OPEN_DTYPE"
"""Environment variable that says what "auto" takes."""
PARTS = ("transformer", "autoencoder", "text_encoder")


def find_dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    """Return a type of weights by its name; float32 for None.

    Raises:
        TypeError: It is neither.
        ValueError: It is unknown, or no type of weights.
    """
    if dtype is None:
        return torch.float32
    if not isinstance(dtype, str | torch.dtype):
        raise wrong_type(dtype, "dtype", "a name or a torch.dtype")
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise ValueError(f"unknown dtype {str(dtype)!r}; choose from {', '.join(DTYPES)}")
    return chosen


class Precision(NamedTuple):
    """Types of a model's parts."""

    transformer: torch.dtype
    """Of the conditioner too, but for its text encoder."""
    autoencoder: torch.dtype
    text_encoder: torch.dtype | None
    """None is the type it comes in, float32 where it is loaded here."""
    rounded: bool = False
    """Whether nobody asked for a type of less than single precision, and a part has one."""


def find_precision(dtype: str | torch.dtype | None, device: torch.device) -> Precision:
    """Return the types of a model's parts.

    Args:
        dtype: One for all but the text encoder, by name; several, as in
            `"transformer=bfloat16,autoencoder=float32"`, float32 being that of parts that are not
            named; float32 for None; or `"auto"`, which is the fast one of the device for the
            transformer and the text encoder, and float32 for the autoencoder, whose rounding would
            be heard as noise; the environment variable STABLE_AUDIO_OPEN_DTYPE can name another.
        device: Where the model computes.

    Raises:
        TypeError: It is no name.
        ValueError: It is unknown, or the device does not compute in that type.
    """
    if isinstance(dtype, str) and dtype == AUTO:
        return _automatic(device)
    if isinstance(dtype, str) and "=" in dtype:
        kinds = dict.fromkeys(PARTS[:2], torch.float32) | _by_part(dtype)
    else:
        kinds = dict.fromkeys(PARTS[:2], find_dtype(dtype))
    for kind in kinds.values():
        check_device_dtype(device, kind)
    return Precision(
        kinds["transformer"], kinds["autoencoder"], kinds.get("text_encoder"), rounded=False
    )


def _automatic(device: torch.device) -> Precision:
    named = os.environ.get(VARIABLE, AUTO)
    if named not in ("", AUTO):
        try:
            return find_precision(named, device)
        except ValueError as error:
            raise ValueError(f"the environment variable {VARIABLE}: {error}") from error
    fast = fast_dtype(device)
    rounded = fast != torch.float32
    return Precision(fast, torch.float32, fast if rounded else None, rounded)


def _by_part(dtype: str) -> dict[str, torch.dtype]:
    found = {}
    for one in dtype.split(","):
        part, equals, kind = one.strip().partition("=")
        if not equals:
            raise ValueError(
                f"dtype {dtype!r} names no part before {part!r}; write it as "
                '"transformer=bfloat16,autoencoder=float32"'
            )
        if part not in PARTS:
            raise ValueError(f"unknown part {part!r} in dtype; choose from {', '.join(PARTS)}")
        if part in found:
            raise ValueError(f"dtype {dtype!r} names {part!r} twice; leave one of them out")
        found[part] = find_dtype(kind)
    return found


def keeps_precision(module: nn.Module) -> bool:
    """Say whether a layer's own tensors must not be rounded to half precision.

    They are frequencies: an error of 2^-9 in one is a phase error of two radians at position 1000.
    """
    return isinstance(module, FourierFeatures | RotaryEmbedding)


def precise_names(model: nn.Module) -> set[str]:
    """Return the names of the tensors that must not be rounded."""
    return {
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if keeps_precision(module)
        for name in module.state_dict()
    }


def check_range(name: str, tensor: Tensor, dtype: torch.dtype | None) -> None:
    """Refuse a conversion in which finite numbers become infinite.

    Raises:
        CheckpointError: The tensor holds numbers beyond 65504, and the type is float16.
    """
    if dtype != torch.float16 or not tensor.is_floating_point() or not tensor.numel():
        return
    low, high = tensor.detach().aminmax()
    largest = max(-low.item(), high.item())
    if largest > torch.finfo(dtype).max:
        raise CheckpointError(
            f"{name} holds {largest:g}, which float16 cannot hold; use bfloat16 or float32"
        )


def dtype_by_name(
    model: nn.Module, wanted: Callable[[str], torch.dtype]
) -> Callable[[str], torch.dtype]:
    """Return the type of each tensor of a model by its name; frequencies are not rounded.

    Args:
        model: The model, on the meta device.
        wanted: The type by name of what may be rounded.
    """
    precise = precise_names(model)

    def dtype_of(name: str) -> torch.dtype:
        kind = wanted(name)
        return torch.promote_types(kind, torch.float32) if name in precise else kind

    return dtype_of


def cast(model: nn.Module, dtype: torch.dtype, *, besides: Iterable[nn.Module] = ()) -> None:
    """Convert the weights of a model in place.

    Args:
        model: The model.
        dtype: The new type; frequencies get it only where it is at least single precision.
        besides: Parts that are left as they are.

    Raises:
        CheckpointError: A number is too large for the type; nothing is converted then.
    """
    untouched = {module for part in besides for module in part.modules()}
    for prefix, module in model.named_modules():
        if module not in untouched and not keeps_precision(module):
            for name, tensor in (
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            ):
                check_range(f"{prefix}.{name}", tensor, dtype)
    for module in model.modules():
        if module in untouched:
            continue
        own = torch.promote_types(dtype, torch.float32) if keeps_precision(module) else dtype
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.to(own)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(own))

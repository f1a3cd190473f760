"""Types of weights, and which tensors stay in single precision when the others do not."""

import torch
from torch import Tensor, nn

from stable_audio_open.arguments.checks import wrong_type
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.nn.device import check_device_dtype, find_device
from stable_audio_open.nn.fourier import FourierFeatures
from stable_audio_open.nn.rotary import RotaryEmbedding

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


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


def find_target(
    device: str | torch.device | None, dtype: str | torch.dtype | None
) -> tuple[torch.device, torch.dtype]:
    """Return where weights go and what type they get.

    Raises:
        TypeError: One is no name.
        ValueError: One is unknown, not here, or the device does not compute in that type.
    """
    where, kind = find_device(device), find_dtype(dtype)
    check_device_dtype(where, kind)
    return where, kind


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


def cast(model: nn.Module, dtype: torch.dtype, *, besides: nn.Module | None = None) -> None:
    """Convert the weights of a model in place.

    Args:
        model: The model.
        dtype: The new type; frequencies get it only where it is at least single precision.
        besides: A part that is left as it is.

    Raises:
        CheckpointError: A number is too large for the type; nothing is converted then.
    """
    untouched = set() if besides is None else set(besides.modules())
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

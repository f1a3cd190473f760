"""Where to compute, and what a device cannot."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import wrong_type

AUTO = "auto"
DEVICES = ("cpu", "cuda", "mps")
WITHOUT_DOUBLE = frozenset({"mps"})
"""Kinds of devices that have no float64."""


def find_device(device: str | int | torch.device | None) -> torch.device:
    """Return a device by name or number; for None and "auto" CUDA, else MPS, else the CPU.

    Raises:
        TypeError: It is neither.
        ValueError: It is unknown, or not in this machine.
    """
    if device is None or (isinstance(device, str) and device == AUTO):
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not isinstance(device, str | int | torch.device) or isinstance(device, bool):
        raise wrong_type(device, "device", "a name or a torch.device")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in DEVICES:
        raise ValueError(
            f"unknown device {str(device)!r}; choose from {', '.join((AUTO, *DEVICES))}"
        )
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[chosen.type]
    if (chosen.index or 0) >= available:
        raise ValueError(
            f"device {str(device)!r} is not here (found {available} of type {chosen.type}); "
            "use device='cpu'"
        )
    return chosen


def check_device_dtype(device: torch.device, dtype: torch.dtype) -> None:
    """Check that a device computes in a number format.

    Raises:
        ValueError: It does not.
    """
    if dtype == torch.float64 and device.type in WITHOUT_DOUBLE:
        raise ValueError(
            f"{device.type.upper()} devices have no float64; use float32, or the device cpu"
        )
    if device.type != "mps":
        return
    if dtype == torch.bfloat16 and not torch.backends.mps.is_macos_or_newer(14, 0):
        raise ValueError("MPS devices have bfloat16 from macOS 14 on; use float16 or float32")


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where a device multiplies matrices in it by instructions of its own.

    Those are CUDA devices from compute capability 8.0 on, and CPUs with AVX512-BF16 or AMX, where
    transformers take half of the time and memory; float32 elsewhere.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float32
    fast = device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
    return torch.bfloat16 if fast else torch.float32


def widened(x: Tensor) -> Tensor:
    """Return a tensor in float64, or in float32 where its device has none wider."""
    return x.float() if x.device.type in WITHOUT_DOUBLE else x.double()


def sent(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor on a device, for which the CPU does not wait.

    A plain copy from the CPU to a GPU waits until the GPU has done all that it was asked before;
    from pinned memory it takes its turn there.

    Args:
        x: The tensor, not to be changed later where it is on the CPU.
        device: Where to.
        dtype: Its type there; its own where None.
    """
    x = x if dtype is None else x.to(dtype)
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def filled(values: Sequence[float], device: torch.device) -> Float[Tensor, "values"]:
    """Return a few numbers in float32 on a device, for which the CPU does not wait."""
    return torch.cat(
        [torch.full((1,), value, dtype=torch.float32, device=device) for value in values]
    )

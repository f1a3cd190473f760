"""Where to compute."""

import torch

from stable_audio_open.arguments.checks import wrong_type

DEVICES = ("cpu", "cuda", "mps")


def find_device(device: str | int | torch.device | None) -> torch.device:
    """Return a device by name or number; for None a CUDA device if there is one, else the CPU.

    Raises:
        TypeError: It is neither.
        ValueError: It is unknown, or not in this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str | int | torch.device) or isinstance(device, bool):
        raise wrong_type(device, "device", "a name or a torch.device")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in DEVICES:
        raise ValueError(f"unknown device {str(device)!r}; choose from {', '.join(DEVICES)}")
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

"""Where to compute."""

import torch

DEVICES = ("cpu", "cuda", "mps")


def find_device(device: str | torch.device | None) -> torch.device:
    """Return a device by name; for None a CUDA device if there is one, else the CPU.

    Raises:
        ValueError: It is unknown, or not in this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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

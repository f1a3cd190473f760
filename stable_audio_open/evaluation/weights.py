"""The weights of a network by a hash, whatever file they came from."""

import hashlib

import torch
from torch import nn


def weights_hash(part: object) -> str | None:
    """Return 16 digits of SHA-256 over parameters and buffers, or None where there are none.

    Args:
        part: A module, or an object with modules among its attributes, or in theirs.
    """
    modules = sorted(_modules(part, "", set()), key=lambda entry: entry[0])
    if not modules:
        return None
    digest = hashlib.sha256()
    for place, module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{place}{name}:{values.dtype}:{list(values.shape)};".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _modules(part: object, place: str, seen: set[int]) -> list[tuple[str, nn.Module]]:
    if id(part) in seen:
        return []
    seen.add(id(part))
    if isinstance(part, nn.Module):
        return [(place, part)]
    found = []
    for name, value in getattr(part, "__dict__", {}).items():
        ours = type(value).__module__.startswith("stable_audio_open.")
        if ours or isinstance(value, nn.Module):
            found += _modules(value, f"{place}{name}.", seen)
    return found

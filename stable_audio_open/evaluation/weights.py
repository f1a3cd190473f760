"""The weights of a network by a hash, whatever file they came from."""

import hashlib
from collections.abc import Iterator

import torch
from torch import nn


def weights_hash(part: object) -> str | None:
    """Return 16 digits of SHA-256 over parameters and buffers, or None where there are none.

    Args:
        part: A module, or an object with modules among its attributes, or in theirs. Where they
            hang makes no difference: an embedder and a tagger of one network have one hash.
    """
    digests = sorted(_digest(module) for module in _modules(part, set()))
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16] if digests else None


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{values.dtype}:{list(values.shape)};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _modules(part: object, seen: set[int]) -> Iterator[nn.Module]:
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, nn.Module):
        yield part
        return
    for value in getattr(part, "__dict__", {}).values():
        if isinstance(value, nn.Module) or type(value).__module__.startswith("stable_audio_open."):
            yield from _modules(value, seen)

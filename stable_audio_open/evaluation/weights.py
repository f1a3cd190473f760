"""The weights of a network by a hash, whatever file they came from."""

import hashlib
from collections.abc import Iterator

import torch
from torch import nn


def module_hash(module: nn.Module) -> str:
    """Return 16 digits of SHA-256 over a module's parameters and buffers, as they are in memory.

    Hashed are, in the order of their names: name, type and shape in UTF-8 (`a.b torch.float32
    [3, 4]` and a line feed), then the bytes, row by row. Merged adapters, another text encoder and
    another number format are therefore other models.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def weights_hash(part: object) -> str | None:
    """Return the hash of the modules that a part holds, or None where nothing in them is learnt.

    Args:
        part: A module, or an object with modules among its attributes, or in theirs. Where they
            hang makes no difference: an embedder and a tagger of one network have one hash, that of
            the network where it is the only one. A spectrogram alone has none: it has neither
            parameters nor buffers that are saved.
    """
    modules = list(_modules(part, set()))
    if not any(module.state_dict() for module in modules):
        return None
    hashes = sorted(map(module_hash, modules))
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


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

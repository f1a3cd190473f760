"""The weights of a network by a hash, whatever file they came from."""

import hashlib

import torch
from torch import nn


def weights_hash(model: nn.Module) -> str:
    """Return 16 digits of SHA-256 over a model's parameters and buffers, as they are in memory.

    Hashed are, in the order of their names: name, type and shape in UTF-8 (`a.b torch.float32
    [3, 4]` and a line feed), then the bytes, row by row. Merged adapters, another text encoder and
    another number format are therefore other models.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy())
    return digest.hexdigest()[:16]

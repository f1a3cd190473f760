"""Checkpoints that `torch.save` wrote, of which nothing but tensors and plain values is read."""

import pickle
import struct
from pathlib import Path
from typing import Any

import torch

UNREADABLE = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AssertionError),
    *(pickle.UnpicklingError, struct.error),
)
"""What torch raises for files that are damaged or of another kind."""


def read_pickled_weights(path: Path) -> Any:
    """Return what a file holds.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with torch.sparse.check_sparse_tensor_invariants():
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error) if isinstance(error, OSError) else type(error).__name__
        raise ValueError(
            f"{path}: cannot be read as a checkpoint ({reason}); it is damaged or of another kind: "
            "download it again"
        ) from error

"""Tensors of inference mode, which gradients cannot be taken through, and those that outlive it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def usable(x: Tensor) -> Tensor:
    """Return a tensor of inference mode as one that gradients can be taken through, by a copy."""
    if not x.is_inference():
        return x
    with torch.inference_mode(mode=False):
        return x.clone()


@contextmanager
def kept_for_later() -> Iterator[None]:
    """Make tensors without a graph that gradients can be taken through later, in every mode."""
    with torch.inference_mode(mode=False), torch.no_grad():
        yield

"""Comparing what a device computes with what the CPU does, and watching what it waits for."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

EXACT = 1e-3
"""Relative distance of two runs in float32, whose devices add in another order."""


def on(device: torch.device, module: Module, dtype: torch.dtype | None = None) -> Module:
    """A copy on a device, in a type."""
    return copy.deepcopy(module).to(device, dtype)


def distance(found: Tensor, wanted: Tensor) -> float:
    """||found - wanted|| / ||wanted||; never a number where one of both is not finite."""
    found, wanted = found.detach().cpu().double(), wanted.detach().cpu().double()
    return float((found - wanted).norm() / wanted.norm())


@contextmanager
def refusing_to_wait(device: torch.device) -> Iterator[None]:
    """Raise where the CPU waits for a CUDA device; the CPU has nothing to wait for."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def let_wait(module: nn.Module, device: torch.device) -> None:
    """Let a module of others wait all the same, where its surroundings may not."""
    if device.type == "cuda":
        module.register_forward_pre_hook(lambda *_: torch.cuda.set_sync_debug_mode("default"))
        module.register_forward_hook(lambda *_: torch.cuda.set_sync_debug_mode("error"))

"""Exponential moving average of weights."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class EmaSchedule:
    """Decay at update n (from 1): `min(decay, 1 - (1 + n)^-power)`."""

    decay: float
    power: float

    def at(self, update: int) -> float:
        """Return the decay of an update."""
        return min(self.decay, float(1 - (1 + update) ** -self.power))


def averaged_copy(module: Module) -> Module:
    """Return a frozen copy in evaluation mode, to hold the average."""
    return deepcopy(module).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: nn.Module, online: nn.Module, *, decay: float) -> None:
    """Move every parameter of `average` by `1 - decay` towards `online`; copy the buffers."""
    ours = [p.detach() for p in average.parameters()]
    theirs = [p.detach() for p in online.parameters()]
    torch._foreach_lerp_(ours, theirs, 1 - decay)
    for mine, buffer in zip(average.buffers(), online.buffers(), strict=True):
        mine.copy_(buffer)

"""Exponential moving average of weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
    if [p.device for p in ours] == [p.device for p in theirs]:
        torch._foreach_lerp_(ours, theirs, 1 - decay)
    else:  # one parameter at a time crosses over
        for mine, other in zip(ours, theirs, strict=True):
            mine.lerp_(other.to(mine.device), 1 - decay)
    for mine, buffer in zip(average.buffers(), online.buffers(), strict=True):
        mine.copy_(buffer)


class OffloadedAverage:
    """An average in CPU memory.

    It is no module, so that a trainer neither moves it to its device nor broadcasts it; in
    checkpoints it is found where a sub-module would be.

    Args:
        online: What is averaged.
        prefix: Prefix of its tensors in a checkpoint.
    """

    def __init__(self, online: nn.Module, *, prefix: str) -> None:
        self.module = averaged_copy(online).to("cpu")
        self.prefix = prefix

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Add the average to a checkpoint's `state_dict`."""
        own = self.module.state_dict(prefix=self.prefix)
        checkpoint["state_dict"] = checkpoint["state_dict"] | own

    def load(self, checkpoint: dict[str, Any]) -> None:
        """Take the average out of a checkpoint's `state_dict`.

        Raises:
            RuntimeError: When it is not there or does not fit.
        """
        state: dict[str, Tensor] = checkpoint["state_dict"]
        own = {key: value for key, value in state.items() if key.startswith(self.prefix)}
        self.module.load_state_dict({k.removeprefix(self.prefix): v for k, v in own.items()})
        checkpoint["state_dict"] = {k: v for k, v in state.items() if k not in own}

    @contextmanager
    def in_place_of(self, online: nn.Module) -> Iterator[None]:
        """Exchange the numbers with those of `online` and, in the end, back, to the last bit.

        One parameter at a time crosses over: neither side holds a second copy.
        """
        self._exchange(online)
        try:
            yield
        finally:
            self._exchange(online)

    @torch.no_grad()
    def _exchange(self, online: nn.Module) -> None:
        ours, theirs = (
            [*module.parameters(), *module.buffers()] for module in (self.module, online)
        )
        for mine, other in zip(ours, theirs, strict=True):
            kept = other.detach().to(mine.device, copy=True)
            other.copy_(mine)
            mine.copy_(kept)

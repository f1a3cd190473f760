"""Memory of a training step, followed on tensors that hold nothing."""

import gc
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stable_audio_open.nn.attention import CrossAttention, SelfAttention
from stable_audio_open.nn.norm import LayerNorm


class PeakBytes(TorchDispatchMode):
    """Follows every storage that an operation makes until it is freed.

    Args:
        existing: Tensors that are there already and count from the start.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's has no annotations
        self.live = 0
        """Bytes at the moment."""
        self.peak = 0
        """Most bytes at any moment."""
        self._known: set[int] = set()
        for tensor in existing:
            self._follow(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return out

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.live -= size


def as_on_gpu(task: nn.Module, *, half: bool) -> None:
    """Let a task on the CPU take the memory that it takes on a GPU.

    CUDA's autocast normalises in float32, where the CPU's keeps the type; its attention computes
    in half precision, and shares key/value heads in half precision alone.

    Args:
        task: Changed in place, and of no other use then.
        half: Whether it runs under autocast.
    """
    for module in task.modules():
        if isinstance(module, LayerNorm) and half:
            module.register_forward_pre_hook(_in_float32)
        elif isinstance(module, SelfAttention | CrossAttention):
            module.widen_on_cpu = False
        if isinstance(module, CrossAttention) and module.key_value_heads < module.heads:
            module.backend = module.backend if half else "math"


def _in_float32(_module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0].float()


class Turn(NamedTuple):
    """A loss and the optimiser that follows its gradient."""

    loss: Callable[[], Tensor]
    optimizer: Optimizer | None
    """None where it works on another device."""
    parameters: list[Tensor]


class StepMemory(NamedTuple):
    """Bytes of a training step at its largest moment."""

    peak: int
    kept: int
    """The part of it that the forward pass keeps for the backward pass."""
    gradients: int
    optimizer: int


def step_memory(
    turns: Iterable[Turn],
    *,
    existing: Iterable[Tensor],
    accumulate: int = 1,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> StepMemory:
    """Take two steps in the order of Lightning's loop, and measure the second.

    The first one makes gradients and running means; gradients are given back only after the
    following forward pass.

    Args:
        turns: Losses that are followed one after the other; what the others train is frozen.
        existing: Weights, buffers and averages on the device.
        accumulate: Batches per step.
        autocast: Precision of the forward pass.
    """
    turns = list(turns)
    live = PeakBytes(existing)
    largest = kept = 0
    with live:
        for _ in range(2):
            largest = 0
            for turn in turns:
                for other in turns:
                    for parameter in other.parameters:
                        parameter.requires_grad_(other is turn)
                gc.collect()
                live.peak = live.live
                own = _take(turn, live, batches=min(accumulate, 2), autocast=autocast)
                if live.peak > largest:
                    largest, kept = live.peak, own
    parameters = [parameter for turn in turns for parameter in turn.parameters]
    states = [
        value
        for turn in turns
        if turn.optimizer is not None
        for value in tree_leaves(turn.optimizer.state_dict()["state"])
        if isinstance(value, Tensor)
    ]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return StepMemory(
        peak=largest,
        kept=kept,
        gradients=sum(gradient.nbytes for gradient in gradients),
        optimizer=sum(state.nbytes for state in states),
    )


def _take(
    turn: Turn,
    live: PeakBytes,
    *,
    batches: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> int:
    kept = 0
    for batch in range(batches):
        before = live.live
        with autocast():
            loss = turn.loss()
        gc.collect()
        kept = max(kept, live.live - before)
        if batch == 0:
            for parameter in turn.parameters:
                parameter.grad = None
        loss.backward()
        del loss
    if turn.optimizer is not None:
        turn.optimizer.step()
    return kept

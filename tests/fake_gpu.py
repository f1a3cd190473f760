"""Models on devices that are not here: tensors without values, whose devices and types are checked.

What asks for a value raises, and so does what mixes devices: on a GPU the first would stop the
program until all that was queued is done, the second would end it. So would plain copies from the
CPU, which `NoWaiting` finds.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stable_audio_open.conditioning.conditioner import Conditioner, Prepared
from stable_audio_open.conditioning.text import Tokens
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn import device

GPU = "cuda"


class NoDouble(TorchDispatchMode):
    """Refuses tensors in float64 on devices that have none."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if isinstance(one, Tensor) and one.device.type in device.WITHOUT_DOUBLE:
                assert one.dtype != torch.float64, f"{func} gives float64"
        return out


class NoWaiting(TorchDispatchMode):
    """Refuses copies between the CPU and a GPU for which the CPU waits until the GPU is done."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            source, waits = args[0], not (kwargs or {}).get("non_blocking", False)
        elif func is torch.ops.aten.copy_.default:
            source, waits = args[1], not (*args, False, False)[2]
        else:
            return out
        kinds = {source.device.type, out.device.type}
        assert not waits or kinds != {"cpu", GPU}, f"{func} waits for the device"
        return out


@contextmanager
def on_fake_gpu(model: LatentDiffusion) -> Iterator[LatentDiffusion]:
    """Give a copy of a model whose tensors are on a GPU that is not here, prompts of zeros too."""
    moved = copy.deepcopy(model)
    with FakeTensorMode(allow_non_fake_inputs=True), NoDouble():
        to_fake_gpu(moved)
        prompts_of_zeros(moved.conditioner)
        yield moved


def prompts_of_zeros(conditioner: Conditioner) -> None:
    """Let a conditioner prepare zeros on the GPU: no tokenizer works without values."""

    def prepare(values: Sequence[dict[str, Any]]) -> Prepared:
        texts = {
            name: Tokens(
                torch.zeros(len(values), text.max_length, dtype=torch.long, device=GPU),
                torch.ones(len(values), text.max_length, dtype=torch.bool, device=GPU),
            )
            for name, text in conditioner.texts.items()
        }
        numbers = {name: torch.zeros(len(values), device=GPU) for name in conditioner.numbers}
        return Prepared(texts, numbers)  # type: ignore[arg-type]

    conditioner.prepare = prepare  # type: ignore[method-assign]


def to_fake_gpu(model: nn.Module) -> None:
    """Put parameters and buffers on a GPU that is not here, in place and without their values."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            new = torch.empty(parameter.shape, dtype=parameter.dtype, device=GPU)
            module._parameters[name] = nn.Parameter(new, requires_grad=parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU)

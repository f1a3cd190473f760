"""What a training step keeps of a transformer block for the backward pass."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

ActivationCheckpointing = Literal["none", "selective", "full"]

_aten = torch.ops.aten
EXPENSIVE = frozenset(
    {
        _aten.mm.default,
        _aten.addmm.default,
        _aten.bmm.default,
        _aten._scaled_dot_product_flash_attention.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
        _aten._scaled_dot_product_efficient_attention.default,
        _aten._scaled_dot_product_cudnn_attention.default,
    }
)
"""Matrix products and attention: nearly all of the arithmetic, and about half of the memory."""


def run_block(block: Callable[..., Tensor], *inputs: Any, mode: ActivationCheckpointing) -> Tensor:
    """Apply a block; the result and its gradients are the same in every mode.

    Args:
        block: The block.
        inputs: Its arguments.
        mode: `none` keeps every intermediate result, `full` none but the block's input, so that
            the backward pass computes the block again; `selective` keeps matrix products and
            attention, and computes only the cheap rest again.
    """
    if mode == "none" or not torch.is_grad_enabled():
        return block(*inputs)
    if mode == "full":
        full: Tensor = checkpoint(block, *inputs, use_reentrant=False)
        return full
    selective: Tensor = checkpoint(
        block,
        *inputs,
        use_reentrant=False,
        context_fn=partial(create_selective_checkpoint_contexts, _policy),
    )
    return selective


def _policy(_context: Any, operation: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    kept = operation in EXPENSIVE
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

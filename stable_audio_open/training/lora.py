"""Low-rank adaptation of the transformer, through peft."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

LAYERS = {
    "self_attention": ("qkv", "output"),
    "cross_attention": ("query", "key_value", "output"),
    "feedforward": ("expand", "contract"),
}
"""Linear layers of each part of a block."""


def add_adapter(
    transformer: nn.Module,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str],
    dropout: float,
    use_rslora: bool,
    use_dora: bool,
    seed: int,
) -> dict[str, Any]:
    """Add low-rank layers to all blocks in place; they alone are trained from then on.

    Args:
        transformer: A `DiffusionTransformer`; untrained adapters change nothing of what it does.
        rank: Inner width of the added layers.
        alpha: Their output is multiplied by `alpha / rank`.
        targets: Parts of the blocks, which are keys of `LAYERS`.
        dropout: Dropout on the input of the added layers.
        use_rslora: Multiply it by `alpha / sqrt(rank)` instead.
        use_dora: Train the length of each row of the changed weights too.
        seed: Seed of the initial weights of the added layers.

    Returns:
        Their settings, as peft writes them to `adapter_config.json`.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = "|".join(f"{part}\\.({'|'.join(LAYERS[part])})" for part in targets)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # any number will do
        lora_dropout=dropout,
        use_rslora=use_rslora,
        use_dora=use_dora,
        target_modules=rf"blocks\.\d+\.({names})",
    )
    transformer.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, transformer)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "use_rslora": use_rslora,
        "use_dora": use_dora,
        "target_modules": config.target_modules,
        "bias": "none",
        "inference_mode": True,
    }

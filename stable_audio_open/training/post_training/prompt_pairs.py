"""Recordings with the prompts of others, for the contrastive loss."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from stable_audio_open.conditioning.conditioner import Prepared
from stable_audio_open.conditioning.text import Tokens
from stable_audio_open.conditions import Conditioning
from stable_audio_open.training.randomness import BatchRandomness


def other_prompts(
    prepared: Prepared, random: BatchRandomness
) -> tuple[Prepared, Bool[Tensor, "batch"]]:
    """Give every item of a batch the prompt of another; its numbers stay.

    Args:
        prepared: Conditions of two items or more, of one process.
        random: Says how far the prompts are moved round.

    Returns:
        The conditions, and which items have got a prompt of other words.
    """
    # The first item's seed is as good as a number of its own.
    moved = 1 + random.seed % (len(random.generators) - 1)
    texts = {
        name: Tokens(tokens.ids.roll(moved, dims=0), tokens.mask.roll(moved, dims=0))
        for name, tokens in prepared.texts.items()
    }
    differ = [
        ((tokens.ids != own.ids) | (tokens.mask != own.mask)).any(dim=1)
        for tokens, own in zip(texts.values(), prepared.texts.values(), strict=True)
    ]
    return Prepared(texts, prepared.numbers), torch.stack(differ).any(dim=0)


def join_conditionings(parts: Sequence[Conditioning]) -> Conditioning:
    """Return the conditionings of several batches as that of one."""
    known = [part.known for part in parts if part.known is not None]
    return Conditioning(
        cross=torch.cat([part.cross for part in parts]),
        global_=torch.cat([part.global_ for part in parts]),
        known=torch.cat(known) if known else None,
    )

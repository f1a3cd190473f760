"""Rotary position embedding over part of each head (RoFormer, paper reference [14])."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RotaryTable(NamedTuple):
    """Cosines and sines of every position, float32 or wider: `[time, rotated]`."""

    cos: Tensor
    sin: Tensor


class RotaryEmbedding(nn.Module):
    """Frequencies of the rotation; published checkpoints store them."""

    inverse_frequencies: Tensor

    def __init__(self, *, rotated: int, base: float = 10000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, rotated, 2, dtype=torch.float32) / rotated
        self.register_buffer("inverse_frequencies", 1.0 / base**exponents)

    def forward(self, length: int) -> RotaryTable:
        """Return the table of positions 0 to `length - 1`."""
        frequencies = self.inverse_frequencies
        dtype = torch.promote_types(frequencies.dtype, torch.float32)
        positions = torch.arange(length, device=frequencies.device, dtype=dtype)
        phases = torch.outer(positions, frequencies.to(dtype))
        phases = torch.cat((phases, phases), dim=-1)
        return RotaryTable(phases.cos(), phases.sin())

    def extra_repr(self) -> str:
        """Show how many features of a head are rotated."""
        return f"rotated={2 * self.inverse_frequencies.numel()}"


def rotate(
    x: Float[Tensor, "batch heads time width"], table: RotaryTable
) -> Float[Tensor, "batch heads time width"]:
    """Rotate the first features of every head, leave the rest.

    Feature `i` is paired with feature `i + rotated / 2` (halves, not neighbours). The arithmetic
    is done in the table's precision whatever the type of `x`.
    """
    rotated = table.cos.shape[-1]
    turned, kept = x[..., :rotated].to(table.cos.dtype), x[..., rotated:]
    first, second = turned.chunk(2, dim=-1)
    swapped = torch.cat((-second, first), dim=-1)
    turned = turned * table.cos + swapped * table.sin
    return torch.cat((turned.to(x.dtype), kept), dim=-1)

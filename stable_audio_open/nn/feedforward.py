"""The gated feed-forward layer of a transformer block."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GatedFeedForward(nn.Module):
    """`contract(value * SiLU(gate))` where `value, gate = expand(x)` (paper section 2.2)."""

    def __init__(self, *, width: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * inner)
        self.contract = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """Apply the layer; the shape stays."""
        value, gate = self.expand(x).chunk(2, dim=-1)
        out: Tensor = self.contract(value * F.silu(gate))
        return out

"""Layer normalisation without a learned offset."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Layer normalisation with a learned gain only (section 2.2: "bias-less").

    Published checkpoints store the offset as a buffer of zeros; it is kept as one, so that a
    checkpoint loads strictly and every stored number is used.
    """

    offset: Tensor

    def __init__(self, *, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(width))
        self.register_buffer("offset", torch.zeros(width))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Normalise over the last axis."""
        return F.layer_norm(x, self.gain.shape, self.gain, self.offset, self.eps)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"width={self.gain.numel()}, eps={self.eps}"

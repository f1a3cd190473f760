"""Random Fourier features of a number."""

from math import tau

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Phases `2 pi x w` with learned frequencies `w`, drawn from a standard normal.

    The caller takes the sines and cosines: the published model orders them differently for
    timesteps (cos, sin) and for numbers (x, sin, cos).
    """

    def __init__(self, *, frequencies: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(frequencies))

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch frequencies"]:
        """Return the phases in radians, at least in float32."""
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        return tau * x.to(dtype)[..., None] * self.weight.to(dtype)

    def extra_repr(self) -> str:
        """Show the number of frequencies."""
        return f"frequencies={self.weight.numel()}"

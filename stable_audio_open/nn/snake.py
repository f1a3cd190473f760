"""The Snake activation, as SnakeBeta (log scale): alpha and beta apart, both as logarithms."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Keeps 1 / exp(beta) finite.
_EPSILON = 1e-9


class _Snake(torch.autograd.Function):
    """Snake with its derivative written out.

    Activations at full sample rate are the largest tensors of the autoencoder. Only `x` is kept
    for the backward pass (autograd would keep three tensors of its size), and
    `2 sin cos = sin(2 .)` saves passes over them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(x, alpha, beta)
        wave = torch.mul(x, alpha.exp()).sin_().mul_((beta.exp() + _EPSILON).rsqrt())
        # One new tensor alone: with half a dozen passes over memory, another costs a fifth more.
        # A compiler fuses the passes itself, and gives no gradient to a result written in place.
        return torch.addcmul(x, wave, wave, out=None if torch.compiler.is_compiling() else wave)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, alpha, beta = ctx.saved_tensors
        frequency, inverse = alpha.exp(), beta.exp() + _EPSILON
        double_angle = x * (2 * frequency)
        slope = grad * double_angle.sin()
        grad_x = torch.addcmul(grad, slope, frequency / inverse)
        grad_alpha = (slope * double_angle).sum_to_size(alpha.shape) / (2 * inverse)
        square = double_angle.cos_().neg_().add_(1)  # 2 sin^2
        grad_beta = (grad * square).sum_to_size(beta.shape) * (-beta.exp() / (2 * inverse**2))
        return grad_x, grad_alpha, grad_beta


def snake(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Return `x + sin^2(exp(alpha) x) / (exp(beta) + 1e-9)`; differentiable once.

    Args:
        x: Any shape that `alpha` and `beta` broadcast to.
        alpha: Logarithm of the frequency.
        beta: Logarithm of the inverse magnitude.
    """
    out: Tensor = _Snake.apply(x, alpha, beta)  # type: ignore[no-untyped-call]
    return out


class Snake(nn.Module):
    """A periodic activation, learned per channel (paper section 2.1, reference [11]).

    `alpha` and `beta` are logarithms and start at 0, so that it starts as `x + sin^2(x)`.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch channels time"]:
        """Apply the activation; the shape stays."""
        return snake(x, self.alpha[:, None], self.beta[:, None])

    def extra_repr(self) -> str:
        """Show the channels."""
        return f"channels={self.alpha.numel()}"

"""One block of the diffusion transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.nn.attention import (
    AttentionBackend,
    CrossAttention,
    KeyValue,
    QKNorm,
    SelfAttention,
)
from stable_audio_open.nn.feedforward import GatedFeedForward
from stable_audio_open.nn.norm import LayerNorm
from stable_audio_open.nn.rotary import RotaryTable


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a gated feed-forward, each pre-normed and residual."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        context_width: int,
        backend: AttentionBackend = "sdpa",
        qk_norm: QKNorm = "none",
    ) -> None:
        super().__init__()
        self.self_norm = LayerNorm(width=width)
        self.self_attention = SelfAttention(
            width=width, heads=heads, backend=backend, qk_norm=qk_norm
        )
        self.cross_norm = LayerNorm(width=width)
        self.cross_attention = CrossAttention(
            width=width,
            heads=heads,
            context_width=context_width,
            backend=backend,
            qk_norm=qk_norm,
        )
        self.feedforward_norm = LayerNorm(width=width)
        self.feedforward = GatedFeedForward(width=width, inner=4 * width)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        context: KeyValue,
        rotary: RotaryTable,
        copies: int = 1,
    ) -> Float[Tensor, "copied_batch time width"]:
        """Apply the block.

        Args:
            x: Tokens.
            context: Keys and values of the context. Rows of the copied batch beyond its own have a
                context of zeros, attention to which is exactly 0.
            rotary: Rotations of the positions.
            copies: How often the batch is repeated before it attends to the context.

        Returns:
            Tokens of the same shape, for each copy of the batch.
        """
        x = x + self.self_attention(self.self_norm(x), rotary)
        if copies > 1:
            x = x.repeat(copies, 1, 1)
        given = len(context.key)
        informed = x[:given] + self.cross_attention(self.cross_norm(x[:given]), context)
        x = informed if given == len(x) else torch.cat((informed, x[given:]))
        out: Tensor = x + self.feedforward(self.feedforward_norm(x))
        return out

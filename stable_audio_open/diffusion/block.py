"""One block of the diffusion transformer."""

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
        self, x: Float[Tensor, "batch time width"], context: KeyValue, rotary: RotaryTable
    ) -> Float[Tensor, "batch time width"]:
        """Apply the block; the shape stays."""
        x = x + self.self_attention(self.self_norm(x), rotary)
        x = x + self.cross_attention(self.cross_norm(x), context)
        out: Tensor = x + self.feedforward(self.feedforward_norm(x))
        return out

"""Self- and cross-attention, and the one switch between their implementations."""

from functools import cache
from importlib.util import find_spec
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.arguments.checks import check_name
from stable_audio_open.nn.rotary import RotaryTable, rotate

AttentionBackend = Literal["sdpa", "flash", "math"]
QKNorm = Literal["none", "ln"]
"""What queries and keys go through, per head and before any rotation: nothing, or a layer
normalisation with learned gain and offset."""


def check_backend(backend: str) -> AttentionBackend:
    """Return the backend of a name.

    Raises:
        TypeError: It is no name.
        ValueError: It is unknown or not installed.
    """
    if check_name(backend, "attention") not in get_args(AttentionBackend):
        raise ValueError(
            f"unknown attention backend {backend!r}; choose from {list(get_args(AttentionBackend))}"
        )
    if backend == "flash" and not flash_installed():
        raise ValueError(
            "attention backend 'flash' needs flash-attn: "
            'pip install "stable-audio-open[flash]", or use "sdpa"'
        )
    return backend  # type: ignore[return-value]


@cache
def flash_installed() -> bool:
    """Say whether the flash-attn package is there."""
    return find_spec("flash_attn") is not None


def attend(
    query: Float[Tensor, "batch heads time width"],
    key: Float[Tensor, "batch kv_heads keys width"],
    value: Float[Tensor, "batch kv_heads keys width"],
    *,
    backend: AttentionBackend = "sdpa",
    widen_on_cpu: bool = True,
) -> Float[Tensor, "batch heads time width"]:
    """Softmax attention at scale `1 / sqrt(width)`, without a mask.

    With fewer key/value heads than query heads, query head `h` uses key/value head
    `h // (heads / kv_heads)`.

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        backend: `"sdpa"` is PyTorch's fused attention; `"flash"` the flash-attn package where the
            tensors allow it (half precision on a GPU) and SDPA elsewhere; `"math"` the formula
            written out, as a reference.
        widen_on_cpu: Compute in float32 where half precision is slow, which is training on a CPU.
    """
    if backend == "flash" and _flash_allows(query):
        return _attend_flash(query, key, value)
    if backend == "math":
        return _attend_math(query, key, value)
    grouped = query.shape[1] != key.shape[1]
    if widen_on_cpu and _slow_in_half_precision(query):
        with torch.autocast("cpu", enabled=False):
            wide = F.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), enable_gqa=grouped
            )
        return wide.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, enable_gqa=grouped)


def _slow_in_half_precision(query: Tensor) -> bool:
    """Say whether float32 is faster: PyTorch's gradient on the CPU takes four times as long."""
    if query.device.type != "cpu":
        return False
    half = query.dtype in (torch.float16, torch.bfloat16)
    return half and query.requires_grad and torch.is_grad_enabled()


def _flash_allows(query: Tensor) -> bool:
    width = query.shape[-1]
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.is_cuda and half and width <= 256 and width % 8 == 0


def _attend_flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from flash_attn import flash_attn_func

    out: Tensor = flash_attn_func(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), causal=False
    )
    return out.transpose(1, 2)


def _attend_math(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    attended: Tensor = logits.softmax(dim=-1) @ value
    return attended


def _head_norm(kind: QKNorm, width: int) -> nn.Module:
    return nn.LayerNorm(width, eps=1e-6) if kind == "ln" else nn.Identity()


class SelfAttention(nn.Module):
    """Multi-head self-attention with rotary positions on queries and keys; no biases."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        backend: AttentionBackend = "sdpa",
        widen_on_cpu: bool = True,
        qk_norm: QKNorm = "none",
    ) -> None:
        super().__init__()
        self.heads = heads
        self.backend = backend
        self.widen_on_cpu = widen_on_cpu
        self.query_norm = _head_norm(qk_norm, width // heads)
        self.key_norm = _head_norm(qk_norm, width // heads)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Float[Tensor, "batch time width"], rotary: RotaryTable
    ) -> Float[Tensor, "batch time width"]:
        """Attend from every token to every token."""
        query, key, value = rearrange(
            self.qkv(x),
            "batch time (three heads width) -> three batch heads time width",
            three=3,
            heads=self.heads,
        )
        query, key = self.query_norm(query), self.key_norm(key)
        query, key = rotate(query, rotary), rotate(key, rotary)
        attended = attend(query, key, value, backend=self.backend, widen_on_cpu=self.widen_on_cpu)
        out: Tensor = self.output(
            rearrange(attended, "batch heads time width -> batch time (heads width)")
        )
        return out

    def extra_repr(self) -> str:
        """Show the heads and the backend."""
        return f"heads={self.heads}, backend={self.backend!r}"


class KeyValue(NamedTuple):
    """Keys and values of a context, `[batch, kv_heads, tokens, width]`."""

    key: Tensor
    value: Tensor


class CrossAttention(nn.Module):
    """Multi-head attention to a context, with grouped key/value heads; no biases, no rotation.

    Keys and values depend on the context alone: `project` makes them once per generation.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        context_width: int,
        backend: AttentionBackend = "sdpa",
        widen_on_cpu: bool = True,
        qk_norm: QKNorm = "none",
    ) -> None:
        super().__init__()
        self.query_norm = _head_norm(qk_norm, width // heads)
        self.key_norm = _head_norm(qk_norm, width // heads)
        self.heads = heads
        self.key_value_heads = context_width // (width // heads)
        self.backend = backend
        self.widen_on_cpu = widen_on_cpu
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context_width, 2 * context_width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def project(self, context: Float[Tensor, "batch tokens context_width"]) -> KeyValue:
        """Return the keys and values of a context."""
        key, value = rearrange(
            self.key_value(context),
            "batch tokens (two heads width) -> two batch heads tokens width",
            two=2,
            heads=self.key_value_heads,
        )
        return KeyValue(self.key_norm(key), value)

    def forward(
        self, x: Float[Tensor, "batch time width"], context: KeyValue
    ) -> Float[Tensor, "batch time width"]:
        """Attend from every token to the context."""
        query = rearrange(
            self.query(x), "batch time (heads width) -> batch heads time width", heads=self.heads
        )
        attended = attend(
            self.query_norm(query),
            context.key,
            context.value,
            backend=self.backend,
            widen_on_cpu=self.widen_on_cpu,
        )
        out: Tensor = self.output(
            rearrange(attended, "batch heads time width -> batch time (heads width)")
        )
        return out

    def extra_repr(self) -> str:
        """Show the heads and the backend."""
        return (
            f"heads={self.heads}, key_value_heads={self.key_value_heads}, backend={self.backend!r}"
        )

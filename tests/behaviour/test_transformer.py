"""Behaviours 4 and 7 to 12: what happens inside the diffusion transformer."""

import cmath
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stable_audio_open.builders.model import build_transformer
from stable_audio_open.checkpoint.weights.precision import cast
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.diffusion.block import TransformerBlock
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.nn.attention import CrossAttention, KeyValue, SelfAttention
from stable_audio_open.nn.feedforward import GatedFeedForward
from stable_audio_open.nn.rotary import RotaryEmbedding, RotaryTable, rotate

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def softmax(x: Tensor) -> Tensor:
    return x.exp() / x.exp().sum(dim=-1, keepdim=True)


@pytest.fixture
def small(randomise: Callable[..., None]) -> Callable[..., DiffusionTransformer]:
    """A transformer whose every number is random; 5 latent channels, global width 6."""

    def small(**changes: Any) -> DiffusionTransformer:
        sizes: dict[str, Any] = {"latent_channels": 5, "width": 32, "depth": 2, "heads": 4}
        sizes |= {"context_width": 16, "global_width": 6, "time_frequencies": 7} | changes
        transformer = DiffusionTransformer(**sizes)
        randomise(transformer)
        return transformer

    return small


def conditioning(tokens: int = 4) -> Conditioning:
    return Conditioning(cross=normal(2, tokens, 16, seed=1), global_=normal(2, 6, seed=2))


def mlp(layers: Any, x: Tensor) -> Tensor:
    """Linear, SiLU, linear; biases where there are any."""
    for index in (0, 2):
        bias = layers[index].bias
        x = x @ layers[index].weight.T + (0 if bias is None else bias)
        x = silu(x) if index == 0 else x
    return x


def time_embedding(transformer: DiffusionTransformer, t: list[float]) -> Tensor:
    frequencies = transformer.time_features.weight.tolist()
    rows = []
    for one in t:
        angles = [2 * math.pi * one * w for w in frequencies]
        rows.append([*map(math.cos, angles), *map(math.sin, angles)])
    return mlp(transformer.time_embedding, torch.tensor(rows, dtype=torch.float64))


def test_04_timestep_is_turned_into_cosines_then_sines(
    small: Callable[..., DiffusionTransformer],
) -> None:
    transformer, t = small(), [0.0, 0.13, 0.5, 1.0]
    found = transformer.embed_times(torch.tensor(t, dtype=torch.float64))
    torch.testing.assert_close(found, time_embedding(transformer, t))


class Seen:
    """What goes into the first block and comes out of the last."""

    tokens: Tensor
    out: Tensor
    rotary: RotaryTable

    def __init__(self, transformer: DiffusionTransformer) -> None:
        transformer.blocks[0].register_forward_pre_hook(self._before)
        transformer.blocks[-1].register_forward_hook(self._after)

    def _before(self, _: Any, inputs: Any) -> None:
        self.tokens, _, self.rotary, _ = inputs

    def _after(self, _: Any, __: Any, out: Tensor) -> None:
        self.out = out


def test_07_timing_and_timestep_are_one_token_at_position_0_and_removed_at_the_end(
    small: Callable[..., DiffusionTransformer],
) -> None:
    transformer, t, told = small(), [0.2, 0.7], conditioning()
    seen = Seen(transformer)
    x = normal(2, 5, 9, seed=3)
    velocity = transformer(x, torch.tensor(t, dtype=torch.float64), told)
    assert seen.tokens.shape == (2, 10, 32)
    expected = mlp(transformer.global_projection, told.global_) + time_embedding(transformer, t)
    torch.testing.assert_close(seen.tokens[:, 0], expected)
    assert seen.rotary.cos.shape[0] == seen.rotary.sin.shape[0] == 10
    assert seen.rotary.cos[0].tolist() == [1.0] * 4
    assert seen.rotary.sin[0].tolist() == [0.0] * 4
    latents = (seen.out[:, 1:] @ transformer.output_projection.weight.T).transpose(1, 2)
    conv = transformer.output_conv.weight[:, :, 0]
    torch.testing.assert_close(velocity, conv @ latents + latents)


def test_07_published_window_is_1025_tokens_and_the_global_width_two_numbers(
    published: DiffusionModelConfig,
) -> None:
    with torch.device("meta"):
        transformer = build_transformer(published.transformer)
    assert published.conditioning.global_ == ("seconds_start", "seconds_total")
    frames = published.window_samples // published.autoencoder.downsampling
    told = Conditioning(
        torch.empty(1, 130, 768, device="meta"), torch.empty(1, 2 * 768, device="meta")
    )
    assert transformer.project(told, frames=frames).rotary.cos.shape == (1025, 32)


def test_08_convolutions_before_and_after_the_transformer_are_residual(
    small: Callable[..., DiffusionTransformer],
) -> None:
    transformer = small(depth=0)  # nothing in between but the two projections
    x = normal(2, 5, 9)
    before = torch.einsum("oi,bit->bot", transformer.input_conv.weight[:, :, 0], x) + x
    tokens = torch.einsum("oi,bit->bot", transformer.input_projection.weight, before)
    out = torch.einsum("oi,bit->bot", transformer.output_projection.weight, tokens)
    expected = torch.einsum("oi,bit->bot", transformer.output_conv.weight[:, :, 0], out) + out
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    torch.testing.assert_close(transformer(x, t, conditioning()), expected)


def normalise(x: Tensor, gain: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * gain


def test_09_block_is_pre_normed_and_residual_with_a_gain_only(
    randomise: Callable[..., None],
) -> None:
    block = TransformerBlock(width=32, heads=4, context_width=16)
    randomise(block)
    rotary = RotaryEmbedding(rotated=4).double()(6)
    context = block.cross_attention.project(normal(2, 4, 16, seed=1))
    x = 0.01 * normal(2, 6, 32)  # so small that eps counts
    self_gain, cross_gain, feedforward_gain = (
        norm.gain for norm in (block.self_norm, block.cross_norm, block.feedforward_norm)
    )
    y = x + block.self_attention(normalise(x, self_gain), rotary)
    y = y + block.cross_attention(normalise(y, cross_gain), context)
    y = y + block.feedforward(normalise(y, feedforward_gain))
    torch.testing.assert_close(block(x, context, rotary), y)
    for norm in (block.self_norm, block.cross_norm, block.feedforward_norm):
        assert [name for name, _ in norm.named_parameters()] == ["gain"]
        assert norm.state_dict()["offset"].count_nonzero() == 0


def test_10_self_attention_is_fused_in_the_order_q_k_v_and_not_causal(
    randomise: Callable[..., None],
) -> None:
    attention = SelfAttention(width=128, heads=2)
    randomise(attention)
    x = normal(1, 7, 128)
    unturned = RotaryTable(torch.ones(7, 32).double(), torch.zeros(7, 32).double())
    weight, heads = attention.qkv.weight, []
    for head in range(2):
        query, key, value = (x[0] @ weight[128 * part + 64 * head :][:64].T for part in range(3))
        heads.append(softmax(query @ key.T / 8) @ value)
    expected = torch.cat(heads, dim=1) @ attention.output.weight.T
    torch.testing.assert_close(attention(x, unturned)[0], expected)
    assert [name for name, _ in attention.named_parameters()] == ["qkv.weight", "output.weight"]


def test_10_query_head_h_of_cross_attention_uses_key_value_head_h_over_2(
    randomise: Callable[..., None],
) -> None:
    attention = CrossAttention(width=256, heads=4, context_width=128)
    randomise(attention)
    x, context = normal(1, 7, 256), normal(1, 5, 128, seed=1)
    weight, heads = attention.key_value.weight, []
    for head in range(4):
        query = x[0] @ attention.query.weight[64 * head :][:64].T
        key = context[0] @ weight[64 * (head // 2) :][:64].T
        value = context[0] @ weight[128 + 64 * (head // 2) :][:64].T
        heads.append(softmax(query @ key.T / 8) @ value)
    expected = torch.cat(heads, dim=1) @ attention.output.weight.T
    torch.testing.assert_close(attention(x, attention.project(context))[0], expected)
    names = [name for name, _ in attention.named_parameters()]
    assert names == ["query.weight", "key_value.weight", "output.weight"]


def test_10_published_attention_has_24_heads_of_64_and_12_key_value_heads(
    published: DiffusionModelConfig,
) -> None:
    with torch.device("meta"):
        block = build_transformer(published.transformer).blocks[0]
    assert isinstance(block, TransformerBlock)
    assert block.self_attention.heads == block.cross_attention.heads == 24
    assert block.cross_attention.key_value_heads == 12
    assert block.self_attention.qkv.weight.shape == (3 * 24 * 64, 1536)


def turned(x: Tensor, position: int) -> Tensor:
    """One head of 64 features at one position, rotated as 16 complex numbers."""
    first, second, kept = x[:16].tolist(), x[16:32].tolist(), x[32:].tolist()
    numbers = [
        complex(a, b) * cmath.exp(1j * position * 10000 ** (-i / 16))
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    parts = [*(z.real for z in numbers), *(z.imag for z in numbers), *kept]
    return torch.tensor(parts, dtype=torch.float64)


def wide_table(length: int) -> RotaryTable:
    rotary = RotaryEmbedding(rotated=32)
    exact = [10000 ** (-i / 16) for i in range(16)]
    torch.testing.assert_close(rotary.inverse_frequencies, torch.tensor(exact))
    rotary.inverse_frequencies = torch.tensor(exact, dtype=torch.float64)
    table: RotaryTable = rotary(length)
    return table


def test_11_rotary_turns_the_first_half_of_a_head_as_halves() -> None:
    x = normal(2, 3, 40, 64)
    found = rotate(x, wide_table(40))
    for batch, head, position in ((0, 0, 0), (1, 2, 1), (0, 1, 17), (1, 0, 39)):
        expected = turned(x[batch, head, position], position)
        torch.testing.assert_close(found[batch, head, position], expected)


def test_11_only_queries_and_keys_of_self_attention_are_turned(
    randomise: Callable[..., None],
) -> None:
    attention = SelfAttention(width=64, heads=1)
    randomise(attention)
    x = normal(1, 9, 64)
    query, key, value = (x[0] @ rows.T for rows in attention.qkv.weight.chunk(3))
    query = torch.stack([turned(row, position) for position, row in enumerate(query)])
    key = torch.stack([turned(row, position) for position, row in enumerate(key)])
    expected = softmax(query @ key.T / 8) @ value @ attention.output.weight.T
    torch.testing.assert_close(attention(x, wide_table(9))[0], expected)


def test_11_cross_attention_knows_no_positions(randomise: Callable[..., None]) -> None:
    attention = CrossAttention(width=32, heads=4, context_width=16)
    randomise(attention)
    x = normal(1, 9, 32)
    key, value = attention.project(normal(1, 5, 16, seed=1))
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = KeyValue(key[:, :, order], value[:, :, order])
    expected = attention(x, KeyValue(key, value))
    torch.testing.assert_close(attention(x, shuffled), expected)
    torch.testing.assert_close(attention(x.flip(1), shuffled), expected.flip(1))


def test_11_rotary_is_computed_in_float32_in_every_precision(
    small: Callable[..., DiffusionTransformer], published: DiffusionModelConfig
) -> None:
    assert published.transformer.width // published.transformer.heads == 64
    transformer = small(width=256).float()
    table = transformer.rotary(1025)
    cast(transformer, torch.bfloat16)
    half_table = transformer.rotary(1025)
    assert half_table.cos.dtype == half_table.sin.dtype == torch.float32
    assert torch.equal(half_table.cos, table.cos)
    x = normal(1, 4, 1025, 64).bfloat16()
    found = rotate(x, half_table)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, rotate(x.float(), table).bfloat16())


def test_12_feed_forward_gates_its_first_half_with_its_second(
    randomise: Callable[..., None],
) -> None:
    layer = GatedFeedForward(width=6, inner=10)
    randomise(layer)
    x = normal(2, 5, 6)
    both = x @ layer.expand.weight.T + layer.expand.bias
    value, gate = both[..., :10], both[..., 10:]
    expected = F.linear(value * silu(gate), layer.contract.weight, layer.contract.bias)
    torch.testing.assert_close(layer(x), expected)


def test_12_published_feed_forward_is_6144_wide(published: DiffusionModelConfig) -> None:
    with torch.device("meta"):
        block = build_transformer(published.transformer).blocks[0]
    assert isinstance(block, TransformerBlock)
    assert block.feedforward.expand.weight.shape == (2 * 6144, 1536)
    assert block.feedforward.contract.weight.shape == (1536, 6144)


def test_projected_context_is_as_wide_as_the_tokens(
    small: Callable[..., DiffusionTransformer],
) -> None:
    transformer, told = small(project_context=True), conditioning()
    projected = transformer.project(told, frames=3)
    context = mlp(transformer.context_projection, told.cross)
    assert context.shape == (2, 4, 32)
    for block, (key, value) in zip(transformer.blocks, projected.context, strict=True):
        assert isinstance(block, TransformerBlock)
        # As many heads as the queries have.
        assert key.shape == value.shape == (2, 4, 4, 8)
        flat = context @ block.cross_attention.key_value.weight.T
        torch.testing.assert_close(torch.cat((key, value), dim=1).transpose(1, 2).flatten(2), flat)


def test_without_global_conditions_the_first_token_is_the_timestep(
    small: Callable[..., DiffusionTransformer],
) -> None:
    transformer, t = small(global_width=0), [0.2, 0.7]
    seen = Seen(transformer)
    told = Conditioning(cross=conditioning().cross, global_=normal(2, 0))
    transformer(normal(2, 5, 3), torch.tensor(t, dtype=torch.float64), told)
    torch.testing.assert_close(seen.tokens[:, 0], time_embedding(transformer, t))

import pytest
import torch
from torch import Tensor

from stable_audio_open.nn import attention
from stable_audio_open.nn.attention import (
    AttentionBackend,
    CrossAttention,
    SelfAttention,
    attend,
    check_backend,
)
from stable_audio_open.nn.rotary import RotaryEmbedding, rotate

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
@pytest.mark.parametrize("backend", ["sdpa", "flash"])
def test_backends_agree_with_the_formula(backend: AttentionBackend, kv_heads: int) -> None:
    # On the CPU, "flash" is SDPA.
    query = normal(2, 6, 7, 8)
    key, value = normal(2, kv_heads, 5, 8, seed=1), normal(2, kv_heads, 5, 8, seed=2)
    leaves = [tensor.requires_grad_() for tensor in (query, key, value)]
    direction = normal(2, 6, 7, 8, seed=3)
    results = []
    both: tuple[AttentionBackend, ...] = (backend, "math")
    for chosen in both:
        out = attend(query, key, value, backend=chosen)
        results.append((out, torch.autograd.grad((out * direction).sum(), leaves)))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("backend", ["sdpa", "math"])
def test_a_group_of_query_heads_shares_one_key_value_head(backend: AttentionBackend) -> None:
    query, key, value = normal(2, 6, 7, 8), normal(2, 2, 5, 8, seed=1), normal(2, 2, 5, 8, seed=2)
    grouped = attend(query, key, value, backend=backend)
    for head in range(6):
        own = slice(head // 3, head // 3 + 1)
        alone = attend(query[:, head : head + 1], key[:, own], value[:, own], backend=backend)
        torch.testing.assert_close(grouped[:, head : head + 1], alone)


@pytest.mark.parametrize("backend", ["sdpa", "math"])
def test_half_precision_stays_half_precision(backend: AttentionBackend) -> None:
    query, key, value = (normal(1, 2, 5, 8, seed=seed) for seed in range(3))
    found = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), backend=backend)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        found.double(), attend(query, key, value), atol=0.03, rtol=0.03
    )  # bfloat16 has 8 bits


def test_training_in_half_precision_is_computed_in_float32_on_the_cpu() -> None:
    leaves = [normal(2, 4, 9, 8, seed=seed).bfloat16().requires_grad_() for seed in range(3)]
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(*leaves)
    expected = attend(*wide)
    assert out.dtype == torch.bfloat16
    # Rounded once, at the end.
    torch.testing.assert_close(out, expected.bfloat16(), rtol=0, atol=0)
    out.float().sum().backward()
    expected.sum().backward()
    for leaf, reference in zip(leaves, wide, strict=True):
        assert leaf.grad is not None
        assert reference.grad is not None
        torch.testing.assert_close(leaf.grad, reference.grad.bfloat16(), rtol=0.02, atol=0.002)


def test_flash_is_refused_in_one_line_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "flash_installed", lambda: False)
    message = (
        "^attention backend 'flash' needs flash-attn: "
        r'pip install "stable-audio-open\[flash\]", or use "sdpa"$'
    )
    with pytest.raises(ValueError, match=message):
        check_backend("flash")


def test_flash_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "flash_installed", lambda: True)
    assert check_backend("flash") == "flash"


def test_unknown_backends_are_refused() -> None:
    message = r"^unknown attention backend 'sdp'; choose from \['sdpa', 'flash', 'math'\]$"
    with pytest.raises(ValueError, match=message):
        check_backend("sdp")


def test_layers_explain_themselves() -> None:
    assert "heads=4, backend='sdpa'" in repr(SelfAttention(width=16, heads=4))
    cross = CrossAttention(width=16, heads=4, context_width=8, backend="math")
    assert "heads=4, key_value_heads=2, backend='math'" in repr(cross)


def normalised(x: Tensor, norm: torch.nn.Module) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    assert isinstance(norm, torch.nn.LayerNorm)
    return centred / (variance + 1e-6).sqrt() * norm.weight + norm.bias


def randomised(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def heads_of(x: Tensor, width: int) -> Tensor:
    return x.unflatten(-1, (-1, width)).transpose(1, 2)


def test_queries_and_keys_are_normalised_by_head_before_the_rotation() -> None:
    attention = SelfAttention(width=12, heads=2, backend="math", qk_norm="ln")
    randomised(attention)
    rotary = RotaryEmbedding(rotated=4).double()(5)
    x = normal(2, 5, 12)
    query, key, value = (heads_of(part, 6) for part in (x @ attention.qkv.weight.T).chunk(3, -1))
    query = rotate(normalised(query, attention.query_norm), rotary)
    key = rotate(normalised(key, attention.key_norm), rotary)
    expected = attend(query, key, value, backend="math").transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x, rotary), expected @ attention.output.weight.T)


def test_queries_and_keys_of_a_context_are_normalised_by_head() -> None:
    attention = CrossAttention(width=12, heads=4, context_width=6, backend="math", qk_norm="ln")
    randomised(attention)
    x, context = normal(2, 5, 12), normal(2, 3, 6, seed=1)
    key, value = (heads_of(p, 3) for p in (context @ attention.key_value.weight.T).chunk(2, -1))
    query = normalised(heads_of(x @ attention.query.weight.T, 3), attention.query_norm)
    key = normalised(key, attention.key_norm)
    expected = attend(query, key, value, backend="math").transpose(1, 2).flatten(2)
    found = attention(x, attention.project(context))
    torch.testing.assert_close(found, expected @ attention.output.weight.T)


def test_without_a_norm_there_are_no_tensors_for_one() -> None:
    names = {name for name, _ in SelfAttention(width=12, heads=2).named_parameters()}
    assert names == {"qkv.weight", "output.weight"}

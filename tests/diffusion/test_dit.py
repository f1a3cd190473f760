from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stable_audio_open.builders.model import build_transformer
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.diffusion.block import TransformerBlock
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.nn import attention

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def transformer(randomise: Callable[..., None]) -> DiffusionTransformer:
    """Six query heads share two key/value heads."""
    transformer = DiffusionTransformer(
        latent_channels=5, width=48, depth=3, heads=6, context_width=16, global_width=6
    )
    randomise(transformer)
    return transformer


def inputs(batch: int = 3) -> tuple[Tensor, Tensor, Conditioning]:
    told = Conditioning(cross=normal(batch, 7, 16, seed=1), global_=normal(batch, 6, seed=2))
    t = torch.linspace(0.1, 0.9, batch, dtype=torch.float64)
    return normal(batch, 5, 11), t, told


def test_math_attention_agrees_with_sdpa(transformer: DiffusionTransformer) -> None:
    expected = transformer(*inputs())
    transformer.set_backend("math")
    assert "backend='math'" in repr(transformer)
    torch.testing.assert_close(transformer(*inputs()), expected)


def test_flash_is_refused_where_it_is_not_installed(
    transformer: DiffusionTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "flash_installed", lambda: False)
    with pytest.raises(ValueError, match=r"^attention backend 'flash' needs flash-attn: pip"):
        transformer.set_backend("flash")
    assert "flash" not in repr(transformer)


def test_the_split_for_generation_is_the_same_model(transformer: DiffusionTransformer) -> None:
    x, t, told = inputs()
    projected = transformer.project(told, frames=11)
    found = transformer.predict(x, transformer.embed_times(t), projected)
    assert torch.equal(found, transformer(x, t, told))


def test_one_time_serves_the_whole_batch(transformer: DiffusionTransformer) -> None:
    x, _, told = inputs()
    t = torch.full((3,), 0.3, dtype=torch.float64)
    projected = transformer.project(told, frames=11)
    found = transformer.predict(x, transformer.embed_times(t[:1]), projected)
    torch.testing.assert_close(found, transformer(x, t, told))


def test_a_pair_is_two_predictions(transformer: DiffusionTransformer) -> None:
    """Given two contexts, and given one and none; the second half's attention to none is 0."""
    x, t, told = inputs()
    time = transformer.embed_times(t)
    other = normal(3, 7, 16, seed=7)
    both = transformer.project(
        Conditioning(torch.cat((told.cross, other)), told.global_), frames=11
    )
    one, two = transformer.predict_pair(x, time, both)
    torch.testing.assert_close(one, transformer(x, t, told))
    torch.testing.assert_close(two, transformer(x, t, Conditioning(other, told.global_)))
    one, nothing = transformer.predict_pair(x, time, transformer.project(told, frames=11))
    torch.testing.assert_close(one, transformer(x, t, told))
    null = Conditioning(torch.zeros_like(told.cross), told.global_)
    torch.testing.assert_close(nothing, transformer(x, t, null))
    assert not torch.allclose(one, nothing)


def test_attention_to_a_context_of_zeros_is_nothing(transformer: DiffusionTransformer) -> None:
    """Exactly, so that it can be left out."""
    block = transformer.blocks[1]
    assert isinstance(block, TransformerBlock)
    nothing = block.cross_attention.project(torch.zeros(2, 7, 16, dtype=torch.float64))
    found = block.cross_attention(normal(2, 11, 48, seed=3), nothing)
    assert torch.equal(found, torch.zeros_like(found))


def test_gradients_of_a_pair(transformer: DiffusionTransformer) -> None:
    x, t, told = inputs()
    weight, null = normal(3, 5, 11, seed=8), torch.zeros_like(told.cross)
    found, expected = [], []
    for grads, pair in (
        (
            found,
            lambda: transformer.predict_pair(
                x, transformer.embed_times(t), transformer.project(told, frames=11)
            ),
        ),
        (
            expected,
            lambda: (transformer(x, t, told), transformer(x, t, Conditioning(null, told.global_))),
        ),
    ):
        one, other = pair()
        out = (weight * (3 * one - other)).sum()
        grads.extend(torch.autograd.grad(out, list(transformer.parameters())))
    torch.testing.assert_close(found, expected)


def test_an_item_of_a_batch_is_predicted_as_alone(transformer: DiffusionTransformer) -> None:
    x, t, told = inputs()
    together = transformer(x, t, told)
    for i in range(3):
        own = slice(i, i + 1)
        alone = transformer(x[own], t[own], Conditioning(told.cross[own], told.global_[own]))
        torch.testing.assert_close(together[own], alone)


def gradients(transformer: DiffusionTransformer) -> dict[str, Tensor]:
    transformer.zero_grad()
    (transformer(*inputs()) * normal(3, 5, 11, seed=4)).sum().backward()
    found = {}
    for name, parameter in transformer.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad.clone()
    return found


def test_an_untrained_model_starts_with_convolutions_that_are_the_identity() -> None:
    transformer = DiffusionTransformer(
        latent_channels=5, width=32, depth=0, heads=4, context_width=16, global_width=6
    )
    assert transformer.input_conv.weight.count_nonzero() == 0
    assert transformer.output_conv.weight.count_nonzero() == 0


def test_what_a_generation_shares_is_computed_before_its_first_step(
    transformer: DiffusionTransformer,
) -> None:
    called: list[str] = []
    once = ("time_embedding", "context_projection", "global_projection", "rotary")
    for name in once:
        part = transformer.get_submodule(name)
        part.register_forward_hook(lambda *_, name=name: called.append(name))
    for index, block in enumerate(transformer.blocks):
        layer = block.get_submodule("cross_attention.key_value")
        layer.register_forward_hook(lambda *_, index=index: called.append(f"key_value {index}"))
    x, _, told = inputs()
    times = [0.9, 0.5, 0.25]
    bound = ConditionedTransformer(transformer, told, negative=None, times=times, frames=11)
    assert sorted(called) == sorted([*once, "key_value 0", "key_value 1", "key_value 2"])
    called.clear()
    for t in times:
        bound.pair(x, t)
        bound.conditional(x, t)
    assert called == []


def test_what_is_not_kept_is_computed_at_every_step(transformer: DiffusionTransformer) -> None:
    x, _, told = inputs()
    settings: dict[str, Any] = {"negative": 0.5 * told.cross, "times": [0.9, 0.25], "frames": 11}
    kept = ConditionedTransformer(transformer, told, **settings)
    called: list[str] = []
    transformer.context_projection.register_forward_hook(lambda *_: called.append("context"))
    lean = ConditionedTransformer(transformer, told, **settings, keep=False)
    assert called == []
    for t in (0.9, 0.5):
        torch.testing.assert_close(lean.conditional(x, t), kept.conditional(x, t))
        torch.testing.assert_close(lean.pair(x, t), kept.pair(x, t))
    assert called == ["context"] * 4


def test_other_times_are_embedded_when_asked_for(transformer: DiffusionTransformer) -> None:
    x, _, told = inputs()
    bound = ConditionedTransformer(transformer, told, negative=None, times=[0.9], frames=11)
    t = torch.full((3,), 0.25, dtype=torch.float64)
    torch.testing.assert_close(bound.conditional(x, 0.25), transformer(x, t, told))


def test_half_precision_state_is_cast_once(transformer: DiffusionTransformer) -> None:
    transformer.bfloat16()
    x, _, told = inputs()
    bound = ConditionedTransformer(transformer, told, negative=None, times=[0.9], frames=11)
    conditional, null = bound.pair(x.float(), 0.9)
    assert conditional.dtype == null.dtype == torch.bfloat16


def test_work_is_that_of_the_shapes(transformer: DiffusionTransformer) -> None:
    # 2 floating-point operations per weight and token, and attention's two products.
    x, t, told = inputs(batch=2)
    transformer.set_backend("math")
    with FlopCounterMode(display=False) as counter:
        transformer(x, t, told)
    frames, context, width, heads = 11 + 1, 7, 48, 16
    block = (
        frames * (4 * width**2 + 2 * width**2 + 12 * width**2)  # self, cross, feed-forward
        + context * 2 * heads**2
        + 2 * width * frames * (frames + context)
    )
    ends = 11 * 2 * (25 + 5 * width) + context * 2 * heads**2
    embeddings = 6 * width + width**2 + 256 * width + width**2
    assert counter.get_total_flops() == 2 * 2 * (3 * block + ends + embeddings)


def test_operations_of_a_guided_step_at_the_published_size() -> None:
    """4.544e12 in two full halves; 5.6 % are the null half's attention to nothing."""
    config = read_config("configs/stable_audio_open_1_0/diffusion.json")
    assert isinstance(config, DiffusionModelConfig)
    with torch.device("meta"):
        published = build_transformer(config.transformer)
        told = Conditioning(cross=torch.zeros(1, 130, 768), global_=torch.zeros(1, 1536))
        x, other = torch.zeros(1, 64, 1024), torch.zeros(1, 130, 768)
    counted = []
    for negative in (other, None):
        bound = ConditionedTransformer(published, told, negative=negative, times=[0.5], frames=1024)
        with FlopCounterMode(display=False) as counter:
            bound.pair(x, 0.5)
        counted.append(counter.get_total_flops())
    assert counted == [4_502_751_897_600, 4_250_948_659_200]

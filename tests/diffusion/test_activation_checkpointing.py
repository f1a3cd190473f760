import gc
import weakref
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.activation_checkpointing import ActivationCheckpointing
from stable_audio_open.diffusion.dit import DiffusionTransformer

pytestmark = pytest.mark.numerical

MODES: tuple[ActivationCheckpointing, ...] = get_args(ActivationCheckpointing)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def transformer(randomise: Callable[..., None]) -> DiffusionTransformer:
    transformer = DiffusionTransformer(
        latent_channels=5, width=48, depth=3, heads=6, context_width=16, global_width=6
    )
    randomise(transformer)
    return transformer.float()


def loss(transformer: DiffusionTransformer) -> Tensor:
    told = Conditioning(cross=normal(2, 7, 16, seed=1), global_=normal(2, 6, seed=2))
    velocity = transformer(normal(2, 5, 40), torch.tensor([0.2, 0.7]), told)
    return (velocity * normal(2, 5, 40, seed=4)).sum()


def gradients(transformer: DiffusionTransformer) -> dict[str, Tensor]:
    transformer.zero_grad()
    loss(transformer).backward()
    return {n: p.grad.clone() for n, p in transformer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_the_same(
    transformer: DiffusionTransformer, mode: ActivationCheckpointing
) -> None:
    kept = gradients(transformer)
    transformer.activation_checkpointing = mode
    again = gradients(transformer)
    assert len(kept) == len(list(transformer.parameters()))
    assert kept.keys() == again.keys()
    assert [name for name in kept if not torch.equal(kept[name], again[name])] == []


def operations(run: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products and attention."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_selective_does_no_product_twice_and_full_does_those_of_the_blocks(
    transformer: DiffusionTransformer,
) -> None:
    counts = {}
    for mode in MODES:
        transformer.activation_checkpointing = mode
        counts[mode] = operations(lambda: gradients(transformer))
    with torch.no_grad():
        forward = operations(lambda: loss(transformer))
        transformer.blocks = transformer.blocks[:0]
        blocks = forward - operations(lambda: loss(transformer))
    assert counts["selective"] == counts["none"]
    # The context's keys and values are made outside of the blocks, and a gradient does not need
    # the result of a block's last product.
    keys_and_values = 3 * 2 * (2 * 7) * 16 * 32
    last_products = 3 * 2 * (2 * 41) * 192 * 48
    assert counts["full"] - counts["none"] == blocks - keys_and_values - last_products


class LiveBytes(TorchDispatchMode):
    """Follows every storage that an operation makes until it is freed, without the weights."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        weights = (*module.parameters(), *module.buffers())
        self.sizes = {weight.untyped_storage()._cdata: 0 for weight in weights}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, storage._cdata)
        return out


def kept_bytes(transformer: DiffusionTransformer) -> int:
    """Bytes that the forward pass leaves for the backward pass."""
    gc.collect()
    with LiveBytes(transformer) as live:
        value = loss(transformer)
        gc.collect()
        kept = sum(live.sizes.values())
        value.backward()
    return kept


@pytest.mark.slow
def test_each_mode_keeps_less(transformer: DiffusionTransformer) -> None:
    kept = {}
    for mode in MODES:
        transformer.activation_checkpointing = mode
        kept[mode] = kept_bytes(transformer)
    assert kept["selective"] < 0.7 * kept["none"]
    assert kept["full"] < 0.2 * kept["none"]


@pytest.mark.slow
def test_nothing_is_kept_for_a_gradient_that_nobody_asks_for(
    transformer: DiffusionTransformer,
) -> None:
    transformer.activation_checkpointing = "full"
    with torch.no_grad():
        forward = operations(lambda: loss(transformer))
        transformer.activation_checkpointing = "none"
        assert forward == operations(lambda: loss(transformer))
        assert kept_bytes_without_gradient(transformer) == 0


def kept_bytes_without_gradient(transformer: DiffusionTransformer) -> int:
    with LiveBytes(transformer) as live:
        value = loss(transformer)
        gc.collect()
        return sum(live.sizes.values()) - value.nbytes

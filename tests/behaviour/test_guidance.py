"""Behaviours 13 and 14: classifier-free guidance and the dropout that it is trained with."""

from collections.abc import Callable

import pytest
import torch
from msgspec.structs import fields
from torch import Tensor

from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import DiffusionTrainingConfig
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.diffusion.objective import drop_conditions

pytestmark = pytest.mark.numerical

T = 0.375  # exact in every precision


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def transformer(randomise: Callable[..., None]) -> DiffusionTransformer:
    transformer = DiffusionTransformer(
        latent_channels=5, width=32, depth=2, heads=4, context_width=16, global_width=6
    )
    randomise(transformer)
    return transformer


def told() -> Conditioning:
    return Conditioning(cross=normal(2, 7, 16, seed=1), global_=normal(2, 6, seed=2))


def guided(
    transformer: DiffusionTransformer,
    *,
    scale: float,
    rescale: float = 0.0,
    negative: Tensor | None = None,
) -> Tensor:
    bound = ConditionedTransformer(transformer, told(), negative=negative, times=[T], frames=9)
    velocity = GuidedVelocity(
        pair=bound.pair, conditional=bound.conditional, scale=scale, rescale=rescale
    )
    return velocity(normal(2, 5, 9, seed=3), T)


def halves(transformer: DiffusionTransformer, null_cross: Tensor) -> tuple[Tensor, Tensor]:
    """v given the conditioning, and v given other cross tokens with the same global token."""
    x, t = normal(2, 5, 9, seed=3), torch.full((2,), T, dtype=torch.float64)
    null = Conditioning(cross=null_cross, global_=told().global_)
    return transformer(x, t, told()), transformer(x, t, null)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0, 7.0])
def test_13_null_is_zeros_for_all_cross_tokens_and_the_same_global_token(
    transformer: DiffusionTransformer, scale: float
) -> None:
    conditional, null = halves(transformer, torch.zeros(2, 7, 16).double())
    expected = null + scale * (conditional - null)
    torch.testing.assert_close(guided(transformer, scale=scale), expected)


def test_13_negative_prompt_replaces_the_cross_tokens_of_the_null_half(
    transformer: DiffusionTransformer,
) -> None:
    negative = normal(2, 7, 16, seed=4)
    conditional, null = halves(transformer, negative)
    found = guided(transformer, scale=5.0, negative=negative)
    torch.testing.assert_close(found, null + 5 * (conditional - null))


@pytest.mark.parametrize("rescale", [0.4, 1.0])
def test_13_rescale_uses_the_unbiased_spread_over_channels_of_each_frame(
    transformer: DiffusionTransformer, rescale: float
) -> None:
    conditional, null = halves(transformer, torch.zeros(2, 7, 16).double())
    v = null + 7 * (conditional - null)

    def spread(v: Tensor) -> Tensor:  # its 1 / 4 cancels, but must be there for one as for both
        centred = v - v.sum(dim=1, keepdim=True) / 5
        return (centred.square().sum(dim=1, keepdim=True) / 4).sqrt()

    expected = rescale * v * spread(conditional) / spread(v) + (1 - rescale) * v
    torch.testing.assert_close(guided(transformer, scale=7.0, rescale=rescale), expected)


def test_14_dropout_zeroes_the_whole_block_of_an_item_and_keeps_the_global_token() -> None:
    found = drop_conditions(told(), torch.tensor([True, False]))
    assert found.cross[0].count_nonzero() == 0
    assert torch.equal(found.cross[1], told().cross[1])
    assert torch.equal(found.global_, told().global_)


def test_14_one_item_in_ten_is_dropped(
    published: DiffusionModelConfig,
) -> None:
    assert published.training is not None
    assert published.training.guidance_dropout == 0.1
    defaults = {field.name: field.default for field in fields(DiffusionTrainingConfig)}
    assert defaults["guidance_dropout"] == 0.1

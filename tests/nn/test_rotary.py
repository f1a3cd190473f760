import pytest
import torch
from torch import Tensor

from stable_audio_open.nn.rotary import RotaryEmbedding, rotate

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def turned(x: Tensor, length: int) -> Tensor:
    """One vector at every position."""
    table = RotaryEmbedding(rotated=8).double()(length)
    return rotate(x.expand(1, 1, length, 16), table)[0, 0]


def test_products_depend_on_the_distance_alone() -> None:
    queries, keys = turned(normal(16), 30), turned(normal(16, seed=1), 30)
    logits = queries @ keys.T
    for distance in (0, 3, -11):
        diagonal = logits.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand(len(diagonal)))
    assert logits[0].unique().numel() == 30


def test_lengths_and_the_features_that_are_not_rotated_stay() -> None:
    x = normal(16)
    found = turned(x, 30)
    torch.testing.assert_close(found.norm(dim=-1), x.norm().expand(30))
    assert torch.equal(found[:, 8:], x[8:].expand(30, 8))
    assert torch.equal(found[0], x)

"""Losses of post-training, against closed forms and finite differences."""

import math

import pytest
import torch
from torch import Tensor

from stable_audio_open.adversarial.relativistic import (
    contrastive_loss,
    discriminator_loss,
    student_loss,
)

pytestmark = pytest.mark.numerical


def scores(seed: int, items: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, generator=generator, dtype=torch.float64)


def expected(higher: Tensor, lower: Tensor) -> float:
    """The mean of -log of the chance that `higher` wins: a logistic model of the difference."""
    wins = [1 / (1 + math.exp(-float(a - b))) for a, b in zip(higher, lower, strict=True)]
    return -sum(math.log(win) for win in wins) / len(wins)


def test_each_side_wants_its_own_score_to_win() -> None:
    real, generated = scores(0), scores(1)
    found = float(discriminator_loss(real, generated))
    assert found == pytest.approx(expected(real, generated))
    assert float(student_loss(real, generated)) == pytest.approx(expected(generated, real))


def test_only_differences_count() -> None:
    real, generated = scores(0), scores(1)
    for loss in (discriminator_loss, student_loss):
        torch.testing.assert_close(loss(real + 7, generated + 7), loss(real, generated))


def test_equal_scores_cost_log_2_and_a_clear_win_nothing() -> None:
    one = scores(0)
    assert float(discriminator_loss(one, one)) == pytest.approx(math.log(2))
    assert float(discriminator_loss(one + 50, one)) == pytest.approx(0, abs=1e-12)
    assert float(discriminator_loss(one - 1000, one)) == pytest.approx(1000)


def test_contrast_is_the_mean_over_items_whose_prompts_differ() -> None:
    own, other = scores(2), scores(3)
    counted = torch.tensor([True, False, True, True, False, True])
    found = float(contrastive_loss(own, other, counted))
    assert found == pytest.approx(expected(own[counted], other[counted]))
    none = torch.zeros(6, dtype=torch.bool)
    assert float(contrastive_loss(own, other, none)) == 0


def test_gradients_are_those_of_finite_differences() -> None:
    pair = (scores(4).requires_grad_(), scores(5).requires_grad_())
    counted = torch.tensor([True, False, True, True, False, True])
    for loss in (discriminator_loss, student_loss):
        assert torch.autograd.gradcheck(loss, pair)
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, counted), pair)

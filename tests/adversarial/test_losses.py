import pytest
import torch
from torch import Tensor

from stable_audio_open.adversarial.discriminator import DiscriminatorOutput
from stable_audio_open.adversarial.losses import (
    adversarial_loss,
    feature_matching_loss,
    hinge_loss,
)

pytestmark = pytest.mark.numerical


def judgement(logits: list[float], *features: list[float]) -> DiscriminatorOutput:
    def plane(values: list[float]) -> Tensor:
        return torch.tensor(values).reshape(1, 1, 1, -1)

    return DiscriminatorOutput(logits=plane(logits), features=tuple(plane(f) for f in features))


def test_hinge_by_hand() -> None:
    real = [judgement([0.5, 2.0]), judgement([-1.0])]
    decoded = [judgement([-0.5, -2.0]), judgement([1.0])]
    # (0.5 + 0) / 2 + (0.5 + 0) / 2 on the first scale, 2 + 2 on the second
    assert float(hinge_loss(real, decoded)) == pytest.approx((0.5 + 4.0) / 2)


def test_perfect_judgement_has_no_loss() -> None:
    assert float(hinge_loss([judgement([1.0, 3.0])], [judgement([-1.0, -2.0])])) == 0


def test_adversarial_by_hand() -> None:
    # Scales weigh the same however many bins they have.
    decoded = [judgement([1.0, 2.0]), judgement([-4.0])]
    assert float(adversarial_loss(decoded)) == pytest.approx(-(1.5 - 4.0) / 2)


def test_feature_matching_by_hand() -> None:
    real = [judgement([0.0], [1.0, 2.0], [0.0]), judgement([0.0], [5.0], [5.0])]
    decoded = [judgement([0.0], [2.0, 4.0], [3.0]), judgement([0.0], [5.0], [4.0])]
    # layers 1.5 and 3 on the first scale, 0 and 1 on the second
    assert float(feature_matching_loss(real, decoded)) == pytest.approx((2.25 + 0.5) / 2)


def test_no_gradient_reaches_real_features() -> None:
    leaves = [torch.ones(1, 1, 1, 2, requires_grad=True) for _ in range(2)]
    real, decoded = (DiscriminatorOutput(logits=leaf, features=(2 * leaf,)) for leaf in leaves)
    feature_matching_loss([real], [decoded._replace(features=(3 * leaves[1],))]).backward()
    assert leaves[0].grad is None
    assert leaves[1].grad is not None

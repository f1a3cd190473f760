import math

import pytest
import torch
from torchmetrics.functional import kl_divergence as torchmetrics_kl

from stable_audio_open.evaluation.kl import (
    DEFINITIONS,
    distribution,
    kl_divergence,
    logits_of,
)

pytestmark = pytest.mark.numerical


def rows(seed: int, classes: int = 527, count: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("p", "q"), [((0.9, 0.1), (0.4, 0.6)), ((0.5, 0.5), (0.1, 0.9)), ((1.0, 0.0), (0.5, 0.5))]
)
def test_two_classes_by_hand(p: tuple[float, float], q: tuple[float, float]) -> None:
    found = kl_divergence(torch.tensor(p), torch.tensor(q))
    by_hand = sum(a * math.log(a / (b + 1e-6)) for a, b in zip(p, q, strict=True) if a)
    assert float(found) == pytest.approx(by_hand, rel=1e-6)


def test_the_direction_matters() -> None:
    p, q = torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5])
    there, back = (kl_divergence(*pair, epsilon=0) for pair in ((p, q), (q, p)))
    assert float(there) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), rel=1e-6)
    assert float(back) == pytest.approx(0.5 * math.log(5 / 9) + 0.5 * math.log(5), rel=1e-6)


def test_equal_sets_of_527_classes_are_slightly_below_0() -> None:
    """-log(1 + 527e-6) for even classes, which is the least; the paper's sets are at -0.000518."""
    even = torch.full((527,), 1 / 527, dtype=torch.float64)
    assert float(kl_divergence(even, even)) == pytest.approx(-math.log1p(527e-6), rel=1e-9)
    for p in (2 * rows(0)).softmax(dim=1):
        found = float(kl_divergence(p, p))
        assert found == pytest.approx(-float((p * (1e-6 / p).log1p()).sum()), rel=1e-9)
        assert -0.000527 < found < -0.0005


def test_agrees_with_torchmetrics_without_epsilon() -> None:
    p, q = rows(1).softmax(dim=1), rows(2).softmax(dim=1)
    theirs = torchmetrics_kl(p, q, reduction="none")
    torch.testing.assert_close(kl_divergence(p, q, epsilon=0), theirs)


def test_order_of_classes_and_files_and_precision_change_nothing() -> None:
    p, q = rows(1).softmax(dim=1), rows(2).softmax(dim=1)
    found = kl_divergence(p, q)
    order = torch.randperm(527, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(kl_divergence(p[:, order], q[:, order]), found)
    torch.testing.assert_close(kl_divergence(p.flip(0), q.flip(0)), found.flip(0))
    torch.testing.assert_close(kl_divergence(p.float(), q.float()), found, rtol=1e-5, atol=1e-7)


def test_what_is_no_distribution_is_refused() -> None:
    even = torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match=r"second .* must be 0 or more and sum to 1, got a sum of"):
        kl_divergence(even, torch.tensor([0.9, 0.9]))
    with pytest.raises(ValueError, match=r"the first of two distributions"):
        kl_divergence(torch.tensor([1.5, -0.5]), even)


def test_windows_are_pooled_as_the_definition_says() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    mean = [1.0, 0.5, -0.5]
    total = sum(math.exp(value) for value in mean)
    by_hand = torch.tensor([math.exp(value) / total for value in mean], dtype=torch.float64)
    torch.testing.assert_close(distribution(logits), by_hand)
    windows = logits.double().softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(distribution(logits, pooling="windows"), windows)
    assert not torch.allclose(by_hand, windows, atol=1e-2)


def test_logits_come_back_from_sigmoid_and_stay_finite() -> None:
    logits = torch.tensor([-20.0, -3.0, 0.0, 5.0])
    torch.testing.assert_close(logits_of(logits.sigmoid()), logits.double(), rtol=1e-4, atol=1e-4)
    assert logits_of(torch.tensor([0.0, 1.0])).isfinite().all()


def test_definitions_name_direction_epsilon_and_pooling() -> None:
    assert {name: str(one) for name, one in DEFINITIONS.items()} == {
        "paper": "KL(generated || reference), 1e-06 added to the reference; "
        "softmax of the mean logits of the windows",
        "reverse": "KL(reference || generated), 1e-06 added to the generated; "
        "softmax of the mean logits of the windows",
        "windows": "KL(generated || reference), 1e-06 added to the reference; "
        "mean over windows of the softmax of their logits",
        "reverse-windows": "KL(reference || generated), 1e-06 added to the generated; "
        "mean over windows of the softmax of their logits",
    }

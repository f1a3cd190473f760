"""The KL divergence between what a tagger hears in two recordings.

The paper's (KL_passt) is that of its authors' evaluation: the logits of a recording's windows are
averaged, softmax makes one distribution of them, and KL(generated || reference) has 1e-6 added to
the reference. Others turn it around or average probabilities, which gives other numbers.
"""

from typing import Literal

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6
SMALLEST, LARGEST = 2.0**-126, 1 - 2.0**-24
"""Of the probabilities in float32 that have finite logits."""

Pooling = Literal["logits", "windows"]


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the KL divergences."""

    forward: bool = True
    """KL(generated || reference), else KL(reference || generated)."""
    pooling: Pooling = "logits"
    """Softmax of the mean logits, or mean over windows of softmax."""
    epsilon: float = EPSILON
    """Added to the second distribution."""

    def __str__(self) -> str:
        first, second = ("generated", "reference")[:: 1 if self.forward else -1]
        pooled = {
            "logits": "softmax of the mean logits of the windows",
            "windows": "mean over windows of the softmax of their logits",
        }[self.pooling]
        return f"KL({first} || {second}), {self.epsilon:g} added to the {second}; {pooled}"


DEFINITIONS = {
    "paper": Definition(),
    "reverse": Definition(forward=False),
    "windows": Definition(pooling="windows"),
    "reverse-windows": Definition(forward=False, pooling="windows"),
}
"""By the names that commands know them by."""


def kl_divergence(
    first: Float[Tensor, "*files classes"],
    second: Float[Tensor, "*files classes"],
    *,
    epsilon: float = EPSILON,
) -> Float[Tensor, "*files"]:
    """Return sum over classes of p log(p / (q + epsilon)), in nats and float64.

    With epsilon the sum is slightly negative for equal distributions: about -epsilon times the
    classes, -0.000527 for 527; less so where classes are not far above epsilon.

    Args:
        first: p, distributions over classes.
        second: q.
        epsilon: Keeps classes that q excludes from an infinite divergence.

    Raises:
        ValueError: A row is not a distribution.
    """
    p, q = first.double(), second.double()
    for name, rows in (("first", p), ("second", q)):
        total = rows.sum(dim=-1)
        if not bool((rows >= 0).all()) or not bool(((total - 1).abs() < 1e-3).all()):
            raise ValueError(
                f"the {name} of two distributions must be 0 or more and sum to 1, got a sum of "
                f"{float(total.min()):g} to {float(total.max()):g}; use softmax"
            )
    divergence: Tensor = (torch.xlogy(p, p) - torch.xlogy(p, q + epsilon)).sum(dim=-1)
    return divergence


def logits_of(probabilities: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return the logits behind the sigmoid, in float64; finite at 0 and 1 too."""
    return torch.logit(probabilities.double().clamp(SMALLEST, LARGEST))


def distribution(
    logits: Float[Tensor, "windows classes"], *, pooling: Pooling = "logits"
) -> Float[Tensor, "classes"]:
    """Return one distribution over the classes for a recording, in float64."""
    wide = logits.double()
    if pooling == "logits":
        return wide.mean(dim=0).softmax(dim=0)
    return wide.softmax(dim=1).mean(dim=0)

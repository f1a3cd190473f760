"""Low-rank changes of the weights of linear layers."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class LowRank(NamedTuple):
    """What an adapter makes of a weight W: `W + scale * up @ down` (LoRA, Hu et al. 2021).

    With a magnitude m, each row of that is brought to its length, `m / norm(row) * row` (DoRA, Liu
    et al. 2024).
    """

    down: Float[Tensor, "rank inputs"]
    up: Float[Tensor, "outputs rank"]
    scale: float
    magnitude: Float[Tensor, "outputs"] | None = None

    def added(
        self,
        weight: Float[Tensor, "outputs inputs"],
        amount: float,
        *,
        own: Float[Tensor, "outputs inputs"],
    ) -> Float[Tensor, "outputs inputs"]:
        """Return a weight with the adapter in it, as peft adds them one after the other.

        Args:
            weight: The weight of the layer with the adapters before this one in it.
            amount: 1 for the full effect, 0 for none; the results lie on a line.
            own: The weight of the layer without any, by which the lengths of rows are measured.
        """
        up, down = (part.to(own.device, own.dtype) for part in (self.up, self.down))
        product = up @ down
        if self.magnitude is None:
            return weight + (amount * self.scale) * product
        change = self.scale * product
        lengths = torch.linalg.vector_norm(own + change, dim=1)
        rows = self.magnitude.to(own.device, own.dtype) / lengths
        result: Tensor = weight + amount * (rows[:, None] * (weight + change) - weight)
        return result


def adapted_weight(
    own: Float[Tensor, "outputs inputs"], changes: Iterable[tuple[LowRank, float]]
) -> Float[Tensor, "outputs inputs"]:
    """Return a weight with several adapters in it, in single precision at least.

    The order matters where there is one with a magnitude, which scales what is before it too.

    Args:
        own: The weight of the layer.
        changes: Adapters in their order, and how much of each.
    """
    own = own.to(torch.promote_types(own.dtype, torch.float32))
    weight = own
    for one, amount in changes:
        weight = one.added(weight, amount, own=own)
    return weight

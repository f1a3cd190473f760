"""Means over a validation set that several processes share."""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed


class ValidationMeans:
    """Means over items, whatever the number of items of each batch and of each process.

    (Lightning's own averages over processes round the number of items down.)
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._items = 0

    def add(self, values: Mapping[str, Tensor], *, items: int) -> None:
        """Add the means over the items of a batch; the names are the same in every batch."""
        self._items += items
        for name, value in values.items():
            wide = value.detach().double() * items
            self._sums[name] = self._sums[name] + wide if name in self._sums else wide

    def take(self) -> dict[str, Tensor]:
        """Return the means over all items of all processes, and start anew."""
        names, sums = list(self._sums), list(self._sums.values())
        totals = torch.stack([*sums, sums[0].new_tensor(self._items)])
        self._sums, self._items = {}, 0
        if distributed.is_initialized():
            distributed.all_reduce(totals)
        return dict(zip(names, (totals[:-1] / totals[-1]).float().unbind(), strict=True))

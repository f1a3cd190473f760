"""Exact search for near neighbours, block by block, and the groups they form."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

BLOCK = 4096
"""Rows compared at once: a block of similarities takes 64 MiB."""


class Pairs(NamedTuple):
    """Pairs of items that are alike; the first index is the smaller."""

    first: Int64[Tensor, "pairs"]
    second: Int64[Tensor, "pairs"]
    similarity: Float[Tensor, "pairs"]


Search = Callable[[Tensor, float], Iterable[Pairs]]
"""Finds all pairs of embeddings whose cosine is at least a threshold."""


def similar_pairs(
    embeddings: Float[Tensor, "items width"], threshold: float, *, block: int = BLOCK
) -> Iterator[Pairs]:
    """Yield all pairs whose cosine is at least the threshold, block by block.

    The search is exhaustive, over the upper triangle, in float32: a cosine is off by up to 1e-4,
    so a threshold of 1 finds equals by chance alone. Beside the normalised embeddings it needs the
    memory of one block of similarities, whatever the number of items.

    Args:
        embeddings: Vectors of any length but zero.
        threshold: Above 0, at most 1.
        block: Rows compared at once.

    Raises:
        ValueError: When the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie within 0..1, above 0, got {threshold}")
    unit = functional.normalize(embeddings.float(), dim=1)
    memory = unit.new_empty(min(block, len(unit)) ** 2)
    for top in range(0, len(unit), block):
        rows = unit[top : top + block]
        for left in range(top, len(unit), block):
            columns = unit[left : left + block]
            scores = memory[: len(rows) * len(columns)].view(len(rows), len(columns))
            torch.mm(rows, columns.T, out=scores)
            if left == top:
                scores.triu_(diagonal=1)
            if float(scores.max()) < threshold:
                continue
            first, second = (scores >= threshold).nonzero(as_tuple=True)
            yield Pairs(first + top, second + left, scores[first, second])


def groups(items: int, pairs: Iterable[Pairs]) -> list[list[int]]:
    """Return the sets of two or more items that pairs connect, directly or through others.

    Args:
        items: Number of items.
        pairs: Pairs of indices.

    Returns:
        Ascending indices, groups by their first.
    """
    parent = list(range(items))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for found in pairs:
        for first, second in zip(found.first.tolist(), found.second.tolist(), strict=True):
            low, high = sorted((root(first), root(second)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for item in range(items):
        members.setdefault(root(item), []).append(item)
    return [group for group in members.values() if len(group) > 1]

"""The same exact search by FAISS, which has kernels for many processors and GPUs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.similarity.pairs import BLOCK, Pairs


def similar_pairs_by_faiss(
    embeddings: Float[Tensor, "items width"], threshold: float, *, block: int = BLOCK
) -> Iterator[Pairs]:
    """Yield what `similarity.similar_pairs` does, from a flat index of inner products.

    A flat index compares every pair: nothing is missed, as an approximate index would. It holds the
    normalised embeddings once more, and all pairs of a block of queries, in both orders.

    Args:
        embeddings: Vectors of any length but zero.
        threshold: Above 0, at most 1.
        block: Queries at once.

    Raises:
        ValueError: When the threshold is out of range.
    """
    import faiss

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie within 0..1, above 0, got {threshold}")
    unit = functional.normalize(embeddings.float(), dim=1).numpy()
    index: Any = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    # FAISS leaves out what is equal to its radius.
    radius = float(np.nextafter(np.float32(threshold), np.float32(0)))
    for top in range(0, len(unit), block):
        queries = unit[top : top + block]
        ends, similarity, second = index.range_search(queries, radius)
        first = np.repeat(np.arange(len(queries)) + top, np.diff(ends.astype(np.int64)))
        above = np.flatnonzero(first < second)
        above = above[np.lexsort((second[above], first[above]))]
        if len(above):
            yield Pairs(
                torch.from_numpy(first[above]),
                torch.from_numpy(second[above].astype(np.int64)),
                torch.from_numpy(similarity[above]),
            )

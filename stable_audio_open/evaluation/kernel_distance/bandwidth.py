"""The width of the kernel: the median distance of the reference's vectors."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.evaluation.result import UnmeasurableError

MOST_VECTORS = 4096
"""Whose distances, 8.4 million, are sorted; of more, so many are drawn. The median of those is
within about 1 % of that of all."""
BLOCK = 1024
"""Vectors whose distances are computed at once."""


class Bandwidth(NamedTuple):
    """A width, and what it was taken of."""

    value: float
    vectors: int
    """Vectors whose distances it is the median of."""
    drawn: bool
    """They were drawn of more; else they are all."""


def median_distance(vectors: Float[Tensor, "vectors width"], *, seed: int = 0) -> Bandwidth:
    """Return the median of the Euclidean distances between different vectors, in float64.

    Of an even number of distances it is the mean of the middle two. Chung et al., "KAD: No More
    FAD!", 2025, section 4, take it of the reference alone, so that all sets that are compared with
    one reference have the same kernel.

    Args:
        vectors: Of the reference; of more than 4,096, so many are drawn without replacement.
        seed: Seed of the draw.

    Raises:
        UnmeasurableError: There are fewer than two vectors, or half of the pairs are equal.
    """
    count = len(vectors)
    if count < 2:
        raise UnmeasurableError(
            f"a median distance needs at least 2 vectors, there is {count}; add recordings"
        )
    drawn = count > MOST_VECTORS
    if drawn:
        generator = torch.Generator().manual_seed(seed)
        vectors = vectors[torch.randperm(count, generator=generator)[:MOST_VECTORS]]
    wide = vectors.double()
    wide = wide - wide.mean(dim=0)
    norms = wide.square().sum(dim=1)
    parts = []
    for start in range(0, len(wide), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = norms[rows, None] + norms[start:] - 2 * wide[rows] @ wide[start:].T
        above = torch.ones_like(squared, dtype=torch.bool).triu(diagonal=1)
        parts.append(squared[above])
    squared = torch.cat(parts).clamp_(min=0)
    middle = {(len(squared) + 1) // 2, len(squared) // 2 + 1}
    median = sum(float(squared.kthvalue(place).values) ** 0.5 for place in middle) / len(middle)
    # What equal vectors differ by through rounding.
    if median <= 1e-7 * float(norms.max().sqrt()):
        raise UnmeasurableError(
            "half of the vectors' pairs or more are equal, so that their median distance is 0; give"
            " other recordings than copies of one, or silence"
        )
    return Bandwidth(median, len(wide), drawn)

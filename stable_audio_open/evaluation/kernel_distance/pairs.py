"""Sums of the Gaussian kernel over pairs of vectors, tile by tile, in float64.

Everything that is asked of a kernel distance is linear or quadratic in the weights of the units,
so that one pass over the pairs gives the distance and all of its resamples, and no more of the
kernel's matrix than a tile is ever in memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stable_audio_open.evaluation.kernel_distance.sample import Sample, check_widths

BLOCK = 1024
"""Vectors on a side of a tile."""


class Pairs(NamedTuple):
    """The kernel between two sets, or within one."""

    mean: float
    """Over pairs of different units: unbiased where units are independent."""
    mean_of_all: float
    """Over all pairs but a vector with itself, those within a unit too."""
    pull: Float[Tensor, "units"]
    """By how much `mean` would be lower without each unit."""
    curvature: Float[Tensor, "resamples"]
    """What the changes of two weights together add to `mean`, for each resample."""


class Tile(NamedTuple):
    """Sums over the pairs of a few units."""

    rows: Int64[Tensor, "rows"]
    """Their units."""
    columns: Int64[Tensor, "columns"]
    sums: Float[Tensor, "rows columns"]
    """Of the kernel over the vectors of both units."""
    twice: bool
    """Whether it stands for its mirror image too."""


def sum_pairs(
    first: Sample,
    second: Sample | None,
    bandwidth: float,
    *,
    changes: Float[Tensor, "resamples units"],
    block: int = BLOCK,
) -> Pairs:
    """Return means of exp(-|x - y|^2 / (2 bandwidth^2)) over pairs of different units.

    Args:
        first: x.
        second: y; None takes all pairs within the first.
        bandwidth: Above 0.
        changes: By how much each resample changes the weight of each unit from 1.
        block: Vectors on a side of a tile, which bounds the memory.

    Raises:
        ValueError: The widths differ.
    """
    units = changes.shape[1]
    own = torch.bincount(first.units, minlength=units).double()
    other = own if second is None else torch.bincount(second.units, minlength=units).double()
    within = own @ other
    apart = own.sum() * other.sum() - within
    same = torch.zeros((), dtype=torch.float64)
    rows, columns = (torch.zeros(units, dtype=torch.float64) for _ in range(2))
    curvature = torch.zeros(len(changes), dtype=torch.float64)
    for tile in _tiles(first, second, bandwidth, block):
        weight = 2.0 if tile.twice else 1.0
        equal = tile.rows[:, None] == tile.columns
        same += weight * tile.sums[equal].sum()
        sums = weight * tile.sums.masked_fill(equal, 0)
        rows.index_add_(0, tile.rows, sums.sum(dim=1))
        columns.index_add_(0, tile.columns, sums.sum(dim=0))
        left, right = (changes[:, part].double() for part in (tile.rows, tile.columns))
        curvature += (left @ sums * right).sum(dim=1)
    mean = rows.sum() / apart
    # Pairs of a unit and any other, in either place.
    touched = own * (other.sum() - other) + other * (own.sum() - own)
    left = apart - touched
    # Of two units, no pair is left: there the derivative by the unit's weight has to do.
    pull = (rows + columns - mean * touched) / torch.where(left > 0, left, apart)
    for start in range(0, len(changes), block):
        part = changes[start : start + block].double()
        pairs = (part @ own) * (part @ other) - part.square() @ (own * other)
        curvature[start : start + block] -= mean * pairs
    alone = first.values.shape[0] if second is None else 0
    return Pairs(
        mean=float(mean),
        mean_of_all=float((rows.sum() + same) / (apart + within - alone)),
        pull=pull,
        curvature=curvature / apart,
    )


def _tiles(first: Sample, second: Sample | None, bandwidth: float, block: int) -> Iterator[Tile]:
    other = first if second is None else second
    check_widths(first, other)
    # Distances do not know the origin, but rounding does.
    centre = other.values.mean(dim=0, dtype=torch.float64)
    for top in range(0, len(first.values), block):
        left = (first.values[top : top + block].double() - centre) / bandwidth
        for side in range(top if second is None else 0, len(other.values), block):
            right = (other.values[side : side + block].double() - centre) / bandwidth
            kernel = _kernel(left, right)
            if second is None and side == top:
                kernel.fill_diagonal_(0)
            rows, kernel = _by_unit(first.units[top : top + block], kernel)
            columns, turned = _by_unit(other.units[side : side + block], kernel.T)
            yield Tile(rows, columns, turned.T, twice=second is None and side > top)


def _kernel(
    left: Float[Tensor, "rows width"], right: Float[Tensor, "columns width"]
) -> Float[Tensor, "rows columns"]:
    """Return the Gaussian kernel of bandwidth 1."""
    squared = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    return squared.addmm_(left, right.T, alpha=-2).clamp_(min=0).mul_(-0.5).exp_()


def _by_unit(
    units: Int64[Tensor, "vectors"], values: Float[Tensor, "vectors others"]
) -> tuple[Int64[Tensor, "units"], Float[Tensor, "units others"]]:
    """Return the units, and sums over the vectors of each."""
    found, places = units.unique_consecutive(return_inverse=True)
    if len(found) == len(units):
        return found, values
    return found, values.new_zeros(len(found), values.shape[1]).index_add_(0, places, values)

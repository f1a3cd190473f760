"""The Frechet distance between embeddings, each set of them taken for a Gaussian.

||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), in float64. With C = L L^T (negative eigenvalues
clipped at 0) the eigenvalues of C1 C2 are the squared singular values of L1^T L2. They need no
square root of a matrix, which gives negative and complex values when a covariance is singular, and
rounding enters them as it is instead of by its square root.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stable_audio_open.evaluation.result import UnmeasurableError

BLOCK = 1 << 16
"""Vectors widened to float64 at once."""
WIDEST = 8192
"""Numbers in a vector: the distance then takes minutes, and grows with the third power."""

SINGULAR = 1e-12
"""Eigenvalues below this share of the largest are none."""


class Gaussian(NamedTuple):
    """Mean and covariance (over n - 1) of vectors, in float64."""

    mean: Float[Tensor, "width"]
    covariance: Float[Tensor, "width width"]
    windows: int | None
    """How many there were; None where that is unknown."""


def fit_gaussian(vectors: Float[Tensor, "windows width"]) -> Gaussian:
    """Return the mean and covariance of vectors.

    Raises:
        UnmeasurableError: There are fewer than two.
        ValueError: They are too wide, or one is not finite.
    """
    count, width = vectors.shape
    if width > WIDEST:
        raise ValueError(
            f"vectors of {width} numbers are too wide for a covariance, which is computed up to "
            f"{WIDEST}; use another embedder"
        )
    if count < 2:
        raise UnmeasurableError(
            f"a covariance needs at least 2 windows, there is {count}; add recordings"
        )
    mean = vectors.mean(dim=0, dtype=torch.float64)
    if not mean.isfinite().all():
        raise ValueError("vectors must be finite, got NaN or infinity; check the embedder")
    covariance = mean.new_zeros(len(mean), len(mean))
    for block in vectors.split(BLOCK):
        centred = block.double() - mean
        covariance += centred.T @ centred
    return Gaussian(mean, covariance / (count - 1), count)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Return the squared Frechet distance, 0 or more; the order does not matter.

    Raises:
        ValueError: The widths differ.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"cannot compare vectors of {len(first.mean)} numbers with vectors of "
            f"{len(second.mean)}; use one embedder with the same channels for both"
        )
    left, right = _factor(first.covariance), _factor(second.covariance)
    overlap = torch.linalg.svdvals(left.T @ right).sum()
    apart = (first.mean - second.mean).square().sum()
    distance = apart + left.square().sum() + right.square().sum() - 2 * overlap
    return max(0.0, float(distance))


def contributions(
    vectors: Float[Tensor, "windows width"],
    owners: Int64[Tensor, "windows"],
    files: int,
    reference: Gaussian,
) -> Float[Tensor, "files"]:
    """Return by how much each file raises the distance: about what would be gained without it.

    The derivative of the distance by the weight of a file's windows, times the weight that it has;
    exact to first order in the file's share of the windows. A window x of a set with mean m pulls
    by 2 (m - m') (x - m) + |x - m|^2 - (x - m)^T T (x - m), where T maps this Gaussian onto the
    reference m', C' optimally.

    Args:
        vectors: Vectors of all files.
        owners: The file of each vector, from 0.
        files: How many.
        reference: What the distance is to.
    """
    own = fit_gaussian(vectors)
    values, axes = torch.linalg.eigh(own.covariance)
    kept = values > SINGULAR * values.max()
    scale, axes = values[kept].sqrt(), axes[:, kept]
    # T in coordinates where the covariance of the set is the identity.
    transport = _root(scale[:, None] * (axes.T @ reference.covariance @ axes) * scale)
    towards = own.mean - reference.mean
    pulls = []
    for block in vectors.split(BLOCK):
        centred = block.double() - own.mean
        white = centred @ axes / scale
        quadratic = centred.square().sum(dim=1) - (white @ transport * white).sum(dim=1)
        pulls.append(2 * centred @ towards + quadratic)
    pull = torch.cat(pulls)
    pull -= pull.mean()
    windows = torch.bincount(owners, minlength=files)
    total = pull.new_zeros(files).index_add_(0, owners, pull)
    return total / (len(vectors) - windows).clamp(min=1)


def _factor(covariance: Float[Tensor, "width width"]) -> Float[Tensor, "width width"]:
    """Return L with L L^T the covariance, negative eigenvalues clipped at 0."""
    values, axes = torch.linalg.eigh(covariance)
    factor: Tensor = axes * values.clamp(min=0).sqrt()
    return factor


def _root(matrix: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return the square root of a symmetric matrix, negative eigenvalues clipped at 0."""
    values, axes = torch.linalg.eigh((matrix + matrix.T) / 2)
    root: Tensor = axes * values.clamp(min=0).sqrt() @ axes.T
    return root

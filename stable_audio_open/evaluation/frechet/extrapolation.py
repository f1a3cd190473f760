"""The Frechet distance of infinitely many windows, by a line through those of fewer.

Few windows make the distance too large, by about a constant over their number (Chong and Forsyth,
"Effectively unbiased FID and Inception Score and where to find them", 2020).
"""

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.evaluation.frechet.gaussian import Gaussian, fit_gaussian, frechet_distance

WINDOWS_PER_POINT = 4
"""At least, for subsets that differ."""
LEAST_POINTS = 3
LEAST_SHARE = 4
"""The smallest subset has one window of so many."""


class Extrapolation(msgspec.Struct, frozen=True, kw_only=True):
    """A least-squares line of the distance over one over the number of windows."""

    distance: float
    """Where the line meets infinitely many windows. It can be negative: for sets that share
    recordings (there the distance of the whole set is 0 already), and by noise."""
    slope: float
    """Distance times windows."""
    r_squared: float
    """Share of the variance that the line explains: a low one says that it does not fit."""
    sizes: tuple[int, ...]
    """Windows in each subset."""
    distances: tuple[float, ...]
    """Distance of each subset."""


def check_points(points: int) -> None:
    """Check a number of points before the recordings are embedded.

    Raises:
        ValueError: No line goes through so few.
    """
    if points < LEAST_POINTS:
        raise ValueError(
            f"{points} points make no line; give at least {LEAST_POINTS}, or 0 for no extrapolation"
        )


def extrapolate(
    vectors: Float[Tensor, "windows width"], reference: Gaussian, *, points: int = 15, seed: int = 0
) -> Extrapolation:
    """Return the line through the distances of random subsets, evenly spaced in 1 / windows.

    Args:
        vectors: Vectors of the set that is judged; subsets are drawn without replacement.
        reference: What the distance is to, whole throughout.
        points: Subsets, the whole set included.
        seed: Seed of the subsets.

    Raises:
        ValueError: There are fewer than 3 points, or too few windows for subsets of different size.
    """
    count = len(vectors)
    check_points(points)
    if count < WINDOWS_PER_POINT * points:
        raise ValueError(
            f"{points} subsets of {count} windows make no line; give at least 3 points, and 4 "
            "windows for each (or 0 points for no extrapolation)"
        )
    inverse = torch.linspace(LEAST_SHARE / count, 1 / count, points, dtype=torch.float64)
    sizes = [round(1 / float(value)) for value in inverse]
    generator = torch.Generator().manual_seed(seed)
    distances = [
        frechet_distance(
            fit_gaussian(vectors[torch.randperm(count, generator=generator)[:size]]), reference
        )
        for size in sizes
    ]
    x = 1 / torch.tensor(sizes, dtype=torch.float64)
    y = torch.tensor(distances, dtype=torch.float64)
    apart = x - x.mean()
    slope = (apart * y).sum() / apart.square().sum()
    limit = y.mean() - slope * x.mean()
    spread = (y - y.mean()).square().sum()
    error = (y - limit - slope * x).square().sum()
    return Extrapolation(
        distance=float(limit),
        slope=float(slope),
        r_squared=float(1 - error / spread) if float(spread) else 1.0,
        sizes=tuple(sizes),
        distances=tuple(distances),
    )

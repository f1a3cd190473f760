"""Sets of normal vectors, and their squared MMD in closed form."""

import torch
from torch import Tensor


def normal(
    count: int, width: int, *, seed: int, mean: float = 0.0, deviation: float = 1.0
) -> Tensor:
    """Vectors whose numbers are independent, of this mean and standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(count, width, generator=generator)


def true_distance(width: int, mean: float, deviation: float, bandwidth: float) -> float:
    """Squared MMD of such vectors from standard normal ones.

    The difference of two is normal too: E k = (s^2 / (s^2 + v))^(d / 2) exp(-d m^2 / (2 (s^2 + v)))
    for a difference of means m and a sum of variances v in each of d dimensions.
    """

    def expected(variance: float, apart: float) -> Tensor:
        whole = torch.tensor(bandwidth**2 + variance, dtype=torch.float64)
        shrunk = (bandwidth**2 / whole) ** (width / 2)
        return shrunk * torch.exp(-width * apart**2 / (2 * whole))

    own, reference = expected(2 * deviation**2, 0.0), expected(2.0, 0.0)
    return float(own + reference - 2 * expected(1 + deviation**2, mean))

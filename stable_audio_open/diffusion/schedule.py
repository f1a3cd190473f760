"""Noise levels sigma of a sampling run, and the model's time t that belongs to each.

All of it is Python float (double) arithmetic: sigma reaches 500, and its square does not fit in
half precision.
"""

import math


def time_from_sigma(sigma: float) -> float:
    """The model's time t = (2 / pi) atan(sigma) in [0, 1), at which tan(pi t / 2) = sigma."""
    return math.atan(sigma) * 2 / math.pi


def polyexponential(n: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> list[float]:
    """Sigmas polynomial in log sigma; exponentially spaced for rho = 1.

    Args:
        n: Number of steps.
        sigma_min: Last level before 0.
        sigma_max: First level.
        rho: Above 1, more of the steps lie near sigma_min.

    Returns:
        n + 1 descending levels: sigma_max first, sigma_min last but one, then 0.

    Raises:
        ValueError: If n < 1, or not 0 < sigma_min < sigma_max, or not rho > 0.
    """
    _check(n, sigma_min, sigma_max, rho)
    log_min, log_max = math.log(sigma_min), math.log(sigma_max)
    ramp = (u**rho for u in _ramp(n))
    return [*(math.exp(log_min + u * (log_max - log_min)) for u in ramp), 0.0]


def karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> list[float]:
    """Sigmas whose rho-th root falls linearly (Karras et al. 2022, equation 5).

    Args:
        n: Number of steps.
        sigma_min: Last level before 0.
        sigma_max: First level.
        rho: The larger, the more of the steps lie near sigma_min.

    Returns:
        n + 1 descending levels: sigma_max first, sigma_min last but one, then 0.

    Raises:
        ValueError: If n < 1, or not 0 < sigma_min < sigma_max, or not rho > 0.
    """
    _check(n, sigma_min, sigma_max, rho)
    root_min, root_max = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [*((root_min + u * (root_max - root_min)) ** rho for u in _ramp(n)), 0.0]


def _ramp(n: int) -> list[float]:
    """N values from 1 down to 0; a single one is 1."""
    return [1 - i / max(n - 1, 1) for i in range(n)]


def _check(n: int, sigma_min: float, sigma_max: float, rho: float) -> None:
    if n < 1:
        raise ValueError(f"steps must be at least 1, got {n}")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, "
            f"got {sigma_min} and {sigma_max}"
        )
    if not 0 < rho < math.inf:
        raise ValueError(f"rho must be above 0, got {rho}")

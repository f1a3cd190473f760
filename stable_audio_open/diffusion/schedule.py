"""Noise levels sigma of a sampling run, and the model's time t that belongs to each.

All of it is Python float (double) arithmetic: sigma reaches 500, and its square does not fit in
half precision. The first level may be infinite, where nothing is left of the sound.
"""

import math
from collections.abc import Callable

LOG_SNR = (-6.0, 2.0)
"""log SNR = -log sigma of the published flows' grid, where it begins and ends."""
LOWEST_SIGMA, HIGHEST_SIGMA = 1e-12, 1e6
"""Noise levels that single precision can tell from silence and from noise alone."""
LEAST_START = 10 * LOWEST_SIGMA
"""Noise level that a sound is started from at least; a grid has its last level below it."""


def time_from_sigma(sigma: float) -> float:
    """The v-model's time t = (2 / pi) atan(sigma) in [0, 1], at which tan(pi t / 2) = sigma."""
    return math.atan(sigma) * 2 / math.pi


def sigma_from_time(t: float) -> float:
    """The noise level tan(pi t / 2) of a v-model's time; infinite at 1."""
    return math.inf if t == 1 else math.tan(t * math.pi / 2)


def flow_time_from_sigma(sigma: float) -> float:
    """The flow's time t = sigma / (1 + sigma) in [0, 1], at which t / (1 - t) = sigma."""
    return 1.0 if sigma == math.inf else sigma / (1 + sigma)


def sigma_from_flow_time(t: float) -> float:
    """The noise level t / (1 - t) of a flow's time; infinite at 1."""
    return math.inf if t == 1 else t / (1 - t)


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


def log_snr(
    n: int, sigma_min: float = math.exp(-LOG_SNR[1]), sigma_max: float = math.inf
) -> list[float]:
    """Sigmas whose log SNR rises linearly, as the published flows are sampled.

    n + 1 levels from sigma_max down to sigma_min, of which the last becomes 0. Where sigma_max is
    infinite, the others are spaced as if it were e^6. A sigma_max near sigma_min, as in a small
    variation of a sound, has the levels end at sigma_max / e at most.

    Args:
        n: Number of steps.
        sigma_min: Level in whose place 0 comes.
        sigma_max: First level.

    Returns:
        n + 1 descending levels: sigma_max first, then 0 at last.

    Raises:
        ValueError: If n < 1, or not 0 < sigma_min, or not 0 < sigma_max.
    """
    _check_start(n, sigma_max)
    if not 0 < sigma_min < math.inf:
        raise ValueError(f"sigma_min must be above 0 and finite, got {sigma_min}")
    first = -LOG_SNR[0] if sigma_max == math.inf else math.log(sigma_max)
    last = min(math.log(sigma_min), first - 1)
    inner = (math.exp(first + i / n * (last - first)) for i in range(1, n))
    return [sigma_max, *inner, 0.0]


def linear(
    n: int,
    sigma_max: float = math.inf,
    *,
    shift: Callable[[float], float] | None = None,
    unshift: Callable[[float], float] | None = None,
) -> list[float]:
    """Sigmas whose flow time t falls linearly to 0, or is shifted from a linear fall.

    Args:
        n: Number of steps.
        sigma_max: First level.
        shift: Maps linear times to those that are taken, 0 to 0 and 1 to 1, rising.
        unshift: Its inverse, which finds where a finite sigma_max begins.

    Returns:
        n + 1 descending levels: sigma_max first, then 0 at last.

    Raises:
        ValueError: If n < 1, or not 0 < sigma_max.
    """
    _check_start(n, sigma_max)
    first = flow_time_from_sigma(sigma_max)
    if unshift is not None and first < 1:
        first = unshift(first)
    times = (first * (1 - i / n) for i in range(1, n))
    inner = (sigma_from_flow_time(t if shift is None else shift(t)) for t in times)
    return [sigma_max, *inner, 0.0]


def _check_start(n: int, sigma_max: float) -> None:
    if n < 1:
        raise ValueError(f"steps must be at least 1, got {n}")
    if not sigma_max > 0:
        raise ValueError(f"sigma_max must be above 0, got {sigma_max}")


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

"""Seeded noise, one stream per item of a batch, drawn on the CPU.

So item i of a batch gets the noise that it would get alone, and every device the same noise.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from stable_audio_open.nn.device import sent

Noise: TypeAlias = Callable[[float, float], Float[Tensor, "batch channels time"]]
"""(sigma, next sigma) -> noise of unit variance for that step, in the shape of the state."""

MAX_SEED = 2**32 - 1
"""Largest seed: PyTorch's CPU generator uses no more than 32 bits."""


def initial_noise(
    shape: tuple[int, int], seeds: Sequence[int]
) -> Float[Tensor, "batch channels time"]:
    """Unit-variance noise to start from, in float32 on the CPU; item i is drawn from seeds[i].

    Args:
        shape: Channels and time of one item.
        seeds: One seed per item, each in [0, MAX_SEED].

    Raises:
        ValueError: If a seed is out of range, or there is none.
    """
    return _draw(shape, _generators(seeds))


class StepNoise:
    """Noise for the steps of a run; item i continues the stream whose start is its initial noise.

    Args:
        seeds: One seed per item, each in [0, MAX_SEED].
        shape: Channels and time of one item.
        device: Where the noise goes; it is always drawn on the CPU, in float32.

    Raises:
        ValueError: If a seed is out of range, or there is none.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, int], device: torch.device | str = "cpu"
    ) -> None:
        self._shape = shape
        self._device = torch.device(device)
        self._generators = _generators(seeds)
        _draw(shape, self._generators)  # the initial noise, which is used up

    def __call__(
        self,
        sigma: float,  # noqa: ARG002, the same distribution at every level
        sigma_next: float,  # noqa: ARG002
    ) -> Float[Tensor, "batch channels time"]:
        """The next noise of the stream."""
        return sent(_draw(self._shape, self._generators), self._device)


def add_noise(
    x: Float[Tensor, "batch channels time"],
    noise: Noise,
    sigma: float,
    sigma_next: float,
    *,
    amount: float,
) -> Float[Tensor, "batch channels time"]:
    """Noise of standard deviation `amount`, drawn for this step, added to x.

    Raises:
        ValueError: If the noise has another shape than x.
    """
    z = noise(sigma, sigma_next)
    if z.shape != x.shape:
        raise ValueError(
            f"the noise of a step must have the shape of the latents, "
            f"got {tuple(z.shape)} for {tuple(x.shape)}"
        )
    return x + amount * z.to(x.dtype)


def required(noise: Noise | None, sampler: str) -> Noise:
    """The noise, which a stochastic sampler cannot do without.

    Raises:
        ValueError: If it is None.
    """
    if noise is None:
        raise ValueError(
            f'sampler "{sampler}" adds noise at every step: pass noise=StepNoise(...), or eta=0'
        )
    return noise


def _generators(seeds: Sequence[int]) -> list[Generator]:
    if not seeds:
        raise ValueError("seeds must hold one seed per item of the batch, got none")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {seed}")
    return [Generator().manual_seed(seed) for seed in seeds]


def _draw(
    shape: tuple[int, int], generators: Sequence[Generator]
) -> Float[Tensor, "batch channels time"]:
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

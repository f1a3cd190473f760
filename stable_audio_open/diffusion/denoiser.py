"""From a model of the velocity v to the denoiser that the samplers call.

There is one contract for all objectives: x = x0 + sigma * noise goes in, and x0 comes out. At an
infinite sigma, with which flows begin, nothing is left of x0, and x is the noise itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.schedule import flow_time_from_sigma, time_from_sigma

Denoiser: TypeAlias = Callable[
    [Float[Tensor, "batch channels time"], float], Float[Tensor, "batch channels time"]
]
"""(x, sigma) -> x0, the expected clean latents when x = x0 + sigma * noise, or, where sigma is
infinite, when x is the noise."""

Velocity: TypeAlias = Callable[
    [Float[Tensor, "batch channels time"], float], Float[Tensor, "batch channels time"]
]
"""(x_t, t) -> v. It may compute and answer in any precision.

Of the v-objective, x_t = alpha x0 + sigma eps and v = alpha eps - sigma x0, where
alpha = cos(pi t / 2) and sigma = sin(pi t / 2); of flows, x_t = (1 - t) x0 + t eps and
v = eps - x0."""


def noised(
    x0: Float[Tensor, "batch channels time"],
    noise: Float[Tensor, "batch channels time"],
    sigma: float,
) -> Float[Tensor, "batch channels time"]:
    """The state of a sampler at a noise level: x0 + sigma * noise, or the noise at infinity."""
    return noise if sigma == math.inf else x0 + sigma * noise


@dataclass(frozen=True)
class VDenoiser:
    """The denoiser x0(x, sigma) = c_skip x + c_out v(c_in x, t) of a v-model, with sigma_data = 1.

    With s = sqrt(sigma^2 + 1): t = (2 / pi) atan(sigma), c_skip = 1 / s^2, c_out = -sigma / s and
    c_in = 1 / s, in double precision. The state x and the answer keep x's precision, whichever
    the model's.

    Raises:
        ValueError: When called with x in half precision, which cannot hold x at high sigma.
    """

    velocity: Velocity

    def __call__(
        self, x: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        """The expected clean latents, given x = x0 + sigma * noise."""
        _check_state(x)
        if sigma == math.inf:
            return -self.velocity(x, 1.0).to(x.dtype)
        s = math.hypot(sigma, 1.0)
        c_skip, c_out, c_in = 1 / s**2, -sigma / s, 1 / s
        v = self.velocity(x * c_in, time_from_sigma(sigma))
        return x * c_skip + v.to(x.dtype) * c_out


@dataclass(frozen=True)
class FlowDenoiser:
    """The denoiser x0(x, sigma) = x_t - t v(x_t, t) of a rectified flow.

    x_t = x / (1 + sigma) and t = sigma / (1 + sigma); at an infinite sigma, x_t = x and t = 1. The
    state x and the answer keep x's precision, whichever the model's.

    Raises:
        ValueError: When called with x in half precision, which cannot hold x at high sigma.
    """

    velocity: Velocity

    def __call__(
        self, x: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        """The expected clean latents, given x = x0 + sigma * noise."""
        _check_state(x)
        t = flow_time_from_sigma(sigma)
        x_t = x if sigma == math.inf else x / (1 + sigma)
        return x_t - t * self.velocity(x_t, t).to(x.dtype)


def _check_state(x: Tensor) -> None:
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the state of a sampler must be torch.float32, got {x.dtype}")

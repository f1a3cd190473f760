"""From a model of the velocity v to the denoiser that the samplers call."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.schedule import time_from_sigma

Denoiser: TypeAlias = Callable[
    [Float[Tensor, "batch channels time"], float], Float[Tensor, "batch channels time"]
]
"""(x, sigma) -> x0, the expected clean latents when x = x0 + sigma * noise."""

Velocity: TypeAlias = Callable[
    [Float[Tensor, "batch channels time"], float], Float[Tensor, "batch channels time"]
]
"""(x_t, t) -> v, with x_t = alpha x0 + sigma eps and v = alpha eps - sigma x0, where
alpha = cos(pi t / 2) and sigma = sin(pi t / 2). It may compute and answer in any precision."""


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
        if x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"the state of a sampler must be torch.float32, got {x.dtype}")
        s = math.hypot(sigma, 1.0)
        c_skip, c_out, c_in = 1 / s**2, -sigma / s, 1 / s
        v = self.velocity(x * c_in, time_from_sigma(sigma))
        return x * c_skip + v.to(x.dtype) * c_out

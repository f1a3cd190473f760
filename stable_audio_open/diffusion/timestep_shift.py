"""The shift of a flow's times towards noise for longer sounds."""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Time = TypeVar("Time", float, Tensor)


@dataclass(frozen=True, kw_only=True)
class TimestepShift:
    """t' = 1 - e^-mu / (e^-mu + 1 / (1 - t) - 1), that is sigma' = e^mu sigma, and a sine over it.

    mu = base_shift + (max_shift - base_shift) (frames - min_length) / (max_length - min_length).
    It acts on the timesteps of training and on linear grids of noise levels.
    """

    base_shift: float = 0.5
    """mu at min_length frames."""
    max_shift: float = 1.15
    """mu at max_length frames."""
    min_length: int = 256
    """Latent frames."""
    max_length: int = 4096
    """Latent frames."""
    use_sine: bool = False
    """Take sin(pi t' / 2) in the end."""

    def mu(self, frames: int) -> float:
        """By how much log sigma rises."""
        share = (frames - self.min_length) / (self.max_length - self.min_length)
        return self.base_shift + (self.max_shift - self.base_shift) * share

    def time(self, t: float, frames: int) -> float:
        """The shifted time of a linear one, both in [0, 1]."""
        t = _scale_odds(t, math.exp(self.mu(frames)))
        return math.sin(t * math.pi / 2) if self.use_sine else t

    def inverse(self, t: float, frames: int) -> float:
        """The linear time that is shifted to t."""
        t = math.asin(t) * 2 / math.pi if self.use_sine else t
        return _scale_odds(t, math.exp(-self.mu(frames)))

    def times(self, t: Float[Tensor, "*batch"], frames: int) -> Float[Tensor, "*batch"]:
        """The shifted times of drawn ones."""
        t = _scale_odds(t, math.exp(self.mu(frames)))
        return (t * (torch.pi / 2)).sin() if self.use_sine else t


def _scale_odds(t: Time, factor: float) -> Time:
    """Multiply t / (1 - t)."""
    return t * factor / (1 - t + t * factor)

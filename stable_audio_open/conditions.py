"""The contract between conditioning and diffusion."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

SECONDS = ("seconds_start", "seconds_total")
"""Numbers that follow from a sound's place in time; others are given by name."""


class Condition(NamedTuple):
    """Tokens of one conditioner and which of them are real."""

    tokens: Float[Tensor, "batch tokens width"]
    mask: Bool[Tensor, "batch tokens"]


class Conditioning(NamedTuple):
    """All that the diffusion transformer is conditioned on.

    `cross` holds every token of every cross-attention conditioner, padding included: its rows are
    zero and take part in the softmax, as they did in training (so there is no mask here).
    """

    cross: Float[Tensor, "batch tokens width"]
    global_: Float[Tensor, "batch global_width"]
    known: Float[Tensor, "batch known_channels frames"] | None = None
    """Which latents are kept, and those, for models with inpainting channels; None is nothing."""

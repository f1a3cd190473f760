"""What KL asks of a tagger: what a whole recording holds, as one distribution over classes."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class ClipTagger(Protocol):
    """Audio to logits of classes, one row for each window."""

    @property
    def name(self) -> str:
        """Network and weights."""

    @property
    def definition(self) -> str:
        """Windows, averaging and normalisation in words, as results name them."""

    @property
    def sample_rate(self) -> int:
        """Rate of the audio, in hertz."""

    def logits(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows classes"]:
        """Return at least one row; audio of any length but 0 within -1..1."""

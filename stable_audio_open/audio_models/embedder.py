"""What curation and evaluation ask of an embedder."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@runtime_checkable
class Embedder(Protocol):
    """Audio to vectors, one for each window; nothing in it may depend on chance."""

    @property
    def name(self) -> str:
        """What makes the vectors, checkpoint included: vectors of one name are comparable."""

    @property
    def sample_rate(self) -> int:
        """Rate of the audio, in hertz."""

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return at least one vector; audio of any length but 0 within -1..1."""


@runtime_checkable
class JointEmbedder(Embedder, Protocol):
    """An embedder whose space has texts too."""

    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "prompts width"]:
        """Return one vector for each text."""


@runtime_checkable
class FusingEmbedder(JointEmbedder, Protocol):
    """An embedder that may embed excerpts of a longer recording and the whole of it at once."""

    @property
    def fuses(self) -> bool:
        """Whether it does."""

    def embed_once(self, mono: Float[Tensor, "time"], *, seed: int) -> Float[Tensor, "width"]:
        """Return one vector for a recording of any length."""


def recording_vector(embedder: Embedder, mono: Float[Tensor, "time"]) -> Float[Tensor, "width"]:
    """Return one vector for a recording: the mean over its windows, of length 1."""
    return functional.normalize(embedder(mono).mean(dim=0), dim=0)

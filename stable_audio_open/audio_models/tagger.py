"""What the music gate asks of a tagger."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Tagger(Protocol):
    """Audio to the probabilities of classes, frame by frame.

    A long recording is tagged in excerpts. One that starts at a multiple of `stride` gives the
    frames that the whole recording gives, but for those within `context` of its cut ends.
    """

    @property
    def name(self) -> str:
        """Network and weights, as decisions name them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the output's columns."""

    @property
    def music_classes(self) -> tuple[str, ...]:
        """Classes that tell music from other sound, where the user names none."""

    @property
    def sample_rate(self) -> int:
        """Rate of the audio, in hertz."""

    @property
    def seconds_per_frame(self) -> float:
        """Time from one frame of the output to the next: a whole number of samples."""

    @property
    def stride(self) -> int:
        """Samples: a whole number of frames."""

    @property
    def context(self) -> int:
        """Samples: a multiple of `stride`."""

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "frames classes"]:
        """Return probabilities within 0..1; audio of any length but 0 has at least one frame."""

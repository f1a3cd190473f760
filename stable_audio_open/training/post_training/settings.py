"""What post-training is told of its warm-up and of the noise that is judged."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.training.randomness import BatchRandomness


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The student first learns where the teacher's flow ends."""

    steps: int
    """Training steps; none when 0."""
    teacher_steps: int
    """Steps of Euler's method from a student's time down to 0."""
    guidance_scale: float
    """Of the teacher."""


@dataclass(frozen=True, kw_only=True)
class NoiseLevels:
    """Times at which the discriminator judges: the sigmoid of a normal number."""

    mean: float
    std: float

    def draw(self, random: BatchRandomness) -> Float[Tensor, "batch"]:
        """Return one for each item (on the CPU)."""
        return (self.mean + self.std * random.normal()).sigmoid()

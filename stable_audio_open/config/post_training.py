"""How a flow is trained on for few steps, against a discriminator (ARC; arXiv 2505.08175)."""

from msgspec import Struct

from stable_audio_open.config.fields import (
    NonNegativeFloat,
    Number,
    Positive,
    PositiveFloat,
    SamplingSteps,
    Size,
)
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig


class WarmUpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The student first learns, from its own time on, where the teacher's flow ends."""

    steps: Positive
    """Training steps before the discriminator takes part."""
    teacher_steps: SamplingSteps = 16
    """Steps of Euler's method in which the teacher goes there."""
    guidance_scale: NonNegativeFloat = 4.0
    """Of the teacher; 1 takes half of the time."""


class PostTrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A discriminator on noised latents, trained in turn with the student.

    It starts as the first blocks of the model that `initialize` names, the teacher.
    """

    optimizer: AdamWConfig
    """How the discriminator's weights follow gradients."""
    schedule: InverseLRConfig
    """Its learning rate over its own steps."""
    warm_up: WarmUpConfig | None = None
    """What comes before; nothing when null."""
    blocks: Positive | None = None
    """Blocks of the teacher that are taken; three quarters of them when null."""
    channels: Size = 256
    """Channels of the heads, of which every block has one."""
    contrastive: NonNegativeFloat = 1.0
    """Weight of telling recordings with their prompts from those with others'."""
    noise_mean: Number = 0.0
    """Latents are judged at times sigmoid(normal): its mean; higher is noisier."""
    noise_std: PositiveFloat = 1.0
    """Its standard deviation."""

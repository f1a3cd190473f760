"""How weights follow gradients, and the learning rate over the steps (section 4)."""

from msgspec import Struct

from stable_audio_open.config.fields import (
    LearningRate,
    NonNegativeFloat,
    PositiveFloat,
    ProperFraction,
)


class AdamWConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="adamw"):
    """AdamW."""

    lr: LearningRate
    """Base learning rate."""
    betas: tuple[ProperFraction, ProperFraction]
    """Decay of the running means of gradients and of their squares."""
    weight_decay: NonNegativeFloat
    """Decoupled decay, in units of the learning rate."""
    offload: bool = False
    """Keep the running means in CPU memory and take the steps there: slower, 8 bytes a weight less
    on the GPU."""


class InverseLRConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="inverse_lr"
):
    """Exponential ramp-up and inverse decay: lr (1 - warmup^(n+1)) (1 + n/inv_gamma)^-power."""

    inv_gamma: PositiveFloat
    """Steps until the decay begins to tell."""
    power: NonNegativeFloat
    """Exponent of the decay; 0 keeps the learning rate."""
    warmup: ProperFraction
    """What is left of the ramp-up's gap after each step; 0 starts at the full learning rate."""

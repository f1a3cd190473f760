"""Number types with their allowed ranges, shared by the configuration structs."""

from typing import Annotated

from msgspec import Meta

from stable_audio_open.settings import MOST_STEPS

Positive = Annotated[int, Meta(ge=1, le=10**9)]
NonNegative = Annotated[int, Meta(ge=0, le=10**9)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
PositiveFloat = Annotated[float, Meta(gt=0, le=1e9)]
NonNegativeFloat = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
ProperFraction = Annotated[float, Meta(ge=0, lt=1)]
Size = Annotated[int, Meta(ge=1, le=65536)]
"""Channels, features, heads, items of a batch, processes."""
Depth = Annotated[int, Meta(ge=1, le=1000)]
"""Blocks of a network."""
Workers = Annotated[int, Meta(ge=0, le=1024)]
"""Processes of one machine that read ahead."""
SampleRate = Annotated[int, Meta(ge=1, le=768_000)]
"""Hertz."""
SamplingSteps = Annotated[int, Meta(ge=1, le=MOST_STEPS)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""PyTorch's CPU generator uses no more than 32 bits."""
LearningRate = Annotated[float, Meta(gt=0, le=10)]
Loudness = Annotated[float, Meta(ge=-70, le=0)]
"""LUFS."""
Name = Annotated[str, Meta(min_length=1)]

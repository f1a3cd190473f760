"""Settings and defaults that configurations, Python and the command line share."""

import math
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from stable_audio_open.arguments.checks import check_integer

STEPS = 100
"""Sampling steps (section 4.2)."""
MOST_STEPS = 10_000
"""Sampling steps that are taken at most."""
GUIDANCE_SCALE = 7.0
"""Scale of classifier-free guidance (section 4.2)."""
SAMPLER = "dpmpp-2m"
"""DPM-Solver++ (section 4.2), of the second order and with several steps."""
SCHEDULE = "polyexponential"
"""Spacing of the noise levels."""
SIGMA_MIN, SIGMA_MAX = 0.3, 500.0
"""Last noise level before 0, and the first."""


Objective = Literal["v", "rectified_flow", "rf_denoiser"]
"""What a transformer predicts: the paper's v, the velocity of a rectified flow, or the same after a
training for few steps."""


class SamplingDefaults(NamedTuple):
    """How a model is sampled unless something else is asked for."""

    steps: int
    guidance_scale: float
    sampler: str
    schedule: str
    sigma_min: float
    """Last noise level before 0, of schedules between two levels."""
    sigma_max: float
    """First noise level of these."""


FLOW_LEVELS = math.exp(-2), math.exp(6)
"""log SNR from 2 to -6, between which the published flows are sampled."""
SAMPLING: dict[Objective, SamplingDefaults] = {
    "v": SamplingDefaults(STEPS, GUIDANCE_SCALE, SAMPLER, SCHEDULE, SIGMA_MIN, SIGMA_MAX),
    "rectified_flow": SamplingDefaults(50, 4.0, "euler", "log-snr", *FLOW_LEVELS),
    "rf_denoiser": SamplingDefaults(8, 1.0, "ping-pong", "log-snr", *FLOW_LEVELS),
}
"""By objective: the paper's, and those of the published flows before and after their training for
few steps."""

RANDOM_RECORDINGS = 100
"""Recordings of the whole set that give prompts in the memorisation study (11,000 in 5.3)."""
CANDIDATES = 50
"""Nearest pairs that a person listens to in the memorisation study (section 5.3)."""


def check_steps(steps: int) -> None:
    """Check a number of sampling steps.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not 1 to `MOST_STEPS`.
    """
    check_integer(steps, "steps")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if steps > MOST_STEPS:
        raise ValueError(f"steps must be at most {MOST_STEPS}, got {steps}")


Counting = Literal["total", "contiguous"]


class ScanSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every recording is decoded once; what cannot be trained on is dropped.

    Raises:
        ValueError: A number is out of range.
    """

    most_channels: Annotated[int, Meta(ge=1)] = 2
    """Recordings of more channels are dropped: no mix of them is defined."""
    silence_db: Annotated[float, Meta(lt=0)] = -80.0
    """Recordings whose peak is not above this are dropped, in decibels of full scale: above the
    dither of 16 bits, which peaks at 2 steps (-84 dB)."""

    def __post_init__(self) -> None:
        """Check the ranges, which are checked by msgspec in files alone."""
        if self.most_channels < 1:
            raise ValueError(f"most_channels must be at least 1, got {self.most_channels}")
        if not self.silence_db < 0:
            raise ValueError(f"silence_db must be below 0, got {self.silence_db}")


class MusicGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a recording counts as music (section 3.1).

    The paper gives threshold and seconds; it names neither the classes nor the counting.

    Raises:
        ValueError: A number is out of range.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.15
    """A class is active in a frame at this probability or over it."""
    seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Music for so long goes to review."""
    counting: Counting = "total"
    """Seconds in all, or the longest stretch without a pause."""
    classes: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    """Classes that stand for music; the tagger's own choice when there are none."""

    def __post_init__(self) -> None:
        """Check the ranges, which are checked by msgspec in files alone."""
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {self.threshold}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")

"""Where the sound is, and where it ends."""

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.level.peaks import amplitude, peak_of

SILENCE = -60.0
"""Decibels of full scale that silence stays below."""


def is_silent(samples: Float[Tensor, "*any"], threshold_db: float = SILENCE) -> bool:
    """True when no sample is louder than `threshold_db` relative to full scale (1.0)."""
    return peak_of(samples) <= amplitude(threshold_db)


def sound_end(
    samples: Float[Tensor, "batch channels time"], sample_rate: int, threshold_db: float = SILENCE
) -> list[float]:
    """Seconds, per item, after which no sample is louder than `threshold_db`; 0.0 for silence.

    The threshold is relative to full scale (1.0), not to the item's own peak, so that an item of
    nothing but faint noise counts as silent.
    """
    loud = samples.abs().amax(dim=1) > amplitude(threshold_db)
    position = torch.arange(1, samples.shape[-1] + 1, device=samples.device)
    last = (loud * position).amax(dim=-1) if samples.shape[-1] else loud.sum(dim=-1)
    return [int(end) / sample_rate for end in last]


def without_silence(
    samples: Float[Tensor, "channels time"], threshold_db: float = SILENCE
) -> Float[Tensor, "channels shorter"]:
    """Cut off what is at most `threshold_db` before and after the sound; silence stays whole."""
    (loud,) = (samples.abs().amax(dim=0) > amplitude(threshold_db)).nonzero(as_tuple=True)
    if not len(loud):
        return samples
    return samples[..., int(loud[0]) : int(loud[-1]) + 1]

"""Peaks of sounds, and sounds of another peak."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.resample import resample

ROUNDING = 1e-6
"""By how much a sum of full scale may exceed it in single precision."""
OVERSAMPLED = 176_400
"""Samples per second from which on the peaks between samples are known (BS.1770, annex 2)."""
RINGING = 256
"""Samples around a sound in which its interpolation still swings."""


def amplitude(level: float) -> float:
    """Return the part of full scale at a level in decibels."""
    return float(10 ** (level / 20))


def decibels(ratio: float) -> float:
    """Return a ratio of amplitudes, above 0, in decibels."""
    return 20 * math.log10(ratio)


def peak_of(samples: Float[Tensor, "*any"]) -> float:
    """Return the highest sample, 0 where there is none."""
    return float(samples.abs().max()) if samples.numel() else 0.0


def true_peak(samples: Float[Tensor, "channels time"], sample_rate: int) -> float:
    """Return the highest value of the wave between the samples too (BS.1770, annex 2).

    The sound is oversampled four times, twice from 88.2 kHz on, and not from 176.4 kHz on.
    """
    if not samples.numel():
        return 0.0
    found = peak_of(samples)
    factor = next((n for n in (1, 2, 4) if n * sample_rate >= OVERSAMPLED), 4)
    if factor == 1:
        return found
    between = resample(F.pad(samples, (RINGING, RINGING)), sample_rate, factor * sample_rate)
    return max(found, peak_of(between))


def at_peak(samples: Float[Tensor, "channels time"], peak: float) -> Float[Tensor, "channels time"]:
    """Scale a sound so that its highest sample is at `peak`; silence stays."""
    found = peak_of(samples)
    return (samples * (peak / found)).clamp(-peak, peak) if found else samples


def limit_peak(
    samples: Float[Tensor, "channels time"], peak: float = 1.0
) -> tuple[Float[Tensor, "channels time"], float]:
    """Scale the whole item down to `peak` if it is louder; return it and the decibels taken off.

    What exceeds it by rounding alone, as what a limiter gives, is brought back to it.
    """
    found = peak_of(samples)
    if found <= peak * (1 + ROUNDING):
        return samples.clamp(-peak, peak), 0.0
    return at_peak(samples, peak), decibels(found / peak)

"""Integrated loudness after ITU-R BS.1770-4."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import sosfilt
from torch import Tensor

from stable_audio_open.audio.resample import resample

RATE = 48000
"""Hertz, for which the standard gives its filters."""
SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285),
         (1.0, -1.69065929318241, 0.73248077421585))  # fmt: skip
"""What a head adds: numerator and denominator."""
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
K_WEIGHTING = np.array([[*top, *bottom] for top, bottom in (SHELF, HIGH_PASS)])
BLOCK, STEP = RATE * 4 // 10, RATE // 10
OFFSET = -0.691
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0


def integrated_loudness(samples: Float[Tensor, "channels time"], sample_rate: int) -> float | None:
    """Return the loudness in LUFS of mono or stereo audio; None where all of it is below -70.

    Audio shorter than a block of 0.4 s is measured as one block with silence behind it.

    Args:
        samples: Within -1..1.
        sample_rate: In hertz; the audio is brought to 48 kHz.
    """
    audio = resample(samples, sample_rate, RATE).double().numpy()
    audio = np.pad(audio, ((0, 0), (0, max(0, BLOCK - audio.shape[1]))))
    weighted = torch.from_numpy(sosfilt(K_WEIGHTING, audio, axis=1))
    power = weighted.unfold(1, BLOCK, STEP).square().mean(dim=2).sum(dim=0)
    power = power[power > _power(ABSOLUTE_GATE)]
    if not len(power):
        return None
    power = power[power > _power(_loudness(float(power.mean())) + RELATIVE_GATE)]
    return _loudness(float(power.mean()))


def _loudness(power: float) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))

"""Integrated loudness after ITU-R BS.1770-4."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.resample import resample

RATE = 48000
"""Hertz, for which the standard gives its filters."""
SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285),
         (1.0, -1.69065929318241, 0.73248077421585))  # fmt: skip
"""What a head adds: numerator and denominator."""
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
K_WEIGHTING = np.array([[*top, *bottom] for top, bottom in (SHELF, HIGH_PASS)])
STEP = RATE // 10
STEPS = 4
BLOCK = STEPS * STEP
PIECE = 100 * STEP
"""Samples that are filtered at once."""
OFFSET = -0.691
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0


def integrated_loudness(samples: Float[Tensor, "channels time"], sample_rate: int) -> float | None:
    """Return the loudness in LUFS of mono or stereo audio; None where all of it is below -70.

    Audio shorter than a block of 0.4 s is measured as one block with silence behind it.

    Args:
        samples: Within -1..1.
        sample_rate: Hertz; the audio is brought to 48 kHz.
    """
    from scipy.signal import sosfilt

    audio = resample(samples, sample_rate, RATE)
    audio = F.pad(audio, (0, max(0, BLOCK - audio.shape[1])))
    state = np.zeros((len(K_WEIGHTING), len(audio), 2))
    energies = []
    for piece in audio.split(PIECE, dim=1):
        weighted, state = sosfilt(K_WEIGHTING, piece.double().numpy(), axis=1, zi=state)
        if piece.shape[1] >= STEP:
            steps = torch.from_numpy(weighted).unfold(1, STEP, STEP)
            energies.append(steps.square().sum(dim=(0, 2)))
    power = torch.cat(energies).unfold(0, STEPS, 1).sum(dim=1) / BLOCK
    power = power[power > _power(ABSOLUTE_GATE)]
    if not len(power):
        return None
    power = power[power > _power(_loudness(float(power.mean())) + RELATIVE_GATE)]
    return _loudness(float(power.mean()))


def at_loudness(
    samples: Float[Tensor, "channels time"], sample_rate: int, loudness: float
) -> Float[Tensor, "channels time"]:
    """Bring audio to an integrated loudness, or as near to it as its peak lets it: full scale is 1.

    Args:
        samples: Mono or stereo; below -70 LUFS it stays as it is.
        sample_rate: Hertz.
        loudness: LUFS.
    """
    found = integrated_loudness(samples, sample_rate)
    if found is None:
        return samples
    gain = 10 ** ((loudness - found) / 20)
    return samples * min(gain, 1 / float(samples.abs().max()))


def _loudness(power: float) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))

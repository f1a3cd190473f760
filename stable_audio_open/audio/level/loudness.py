"""Integrated loudness after ITU-R BS.1770-4."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.level.peaks import amplitude, decibels, peak_of
from stable_audio_open.audio.resample import resample

RATE = 48000
"""Hertz, for which the standard gives its filters."""
BLOCK, STEP = 0.4, 0.1
"""Seconds that are measured at once, and from one block to the next."""


def integrated_loudness(samples: Float[Tensor, "channels time"], sample_rate: int) -> float | None:
    """Return the loudness in LUFS of mono or stereo audio; None where all of it is below -70.

    Audio shorter than a block of 0.4 s is measured as one block with silence behind it.

    Args:
        samples: Within -1..1.
        sample_rate: Hertz; the audio is brought to 48 kHz.
    """
    from pyloudnorm import Meter

    audio = resample(samples, sample_rate, RATE)
    audio = F.pad(audio, (0, max(0, round(BLOCK * RATE) - audio.shape[1])))
    # A block that has begun when the audio ends does not count.
    audio = audio[:, : audio.shape[1] // round(STEP * RATE) * round(STEP * RATE)]
    # The standard's own coefficients, which the other filters come near to.
    meter = Meter(RATE, filter_class="DeMan", block_size=BLOCK)
    found = float(meter.integrated_loudness(audio.T.double().numpy()))
    return found if math.isfinite(found) else None


def at_loudness(
    samples: Float[Tensor, "channels time"],
    sample_rate: int,
    loudness: float,
    *,
    peak: float | None = None,
    ceiling: float = 1.0,
) -> tuple[Float[Tensor, "channels time"], float]:
    """Bring audio to an integrated loudness, or as near to it as its peak lets it.

    Args:
        samples: Mono or stereo; below -70 LUFS it stays as it is.
        sample_rate: Hertz.
        loudness: LUFS.
        peak: Its highest value, such as the true peak; the highest sample when None.
        ceiling: What the peak is at most in the end, in parts of full scale.

    Returns:
        The audio, and the decibels that are missing.
    """
    found = integrated_loudness(samples, sample_rate)
    if found is None:
        return samples, 0.0
    gain = amplitude(loudness - found)
    most = ceiling / (peak_of(samples) if peak is None else peak)
    return samples * min(gain, most), decibels(gain / most) if gain > most else 0.0

"""Integrated loudness after ITU-R BS.1770-4."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

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

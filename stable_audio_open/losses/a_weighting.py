"""The A curve of hearing (IEC 61672) as a short linear-phase filter."""

from math import tau

import torch
from jaxtyping import Float
from torch import Tensor

# Corner frequencies in Hz, and the gain in dB that makes the curve 0 dB at 1 kHz.
_LOW, _MIDDLE, _UPPER, _HIGH = 20.598997, 107.65265, 737.86223, 12194.217
_GAIN_DB = 1.9997


def a_weighting_filter(sample_rate: int, *, taps: int = 101) -> Float[Tensor, "taps"]:
    """Return a symmetric filter fitted by least squares to the A curve.

    The analogue curve is carried over by the bilinear transform and sampled at 512 frequencies,
    as auraloss does, so that losses can be compared.

    Args:
        sample_rate: Hertz.
        taps: Length of the filter, odd.
    """
    from scipy import signal

    poles = [-tau * f for f in (_LOW, _LOW, _MIDDLE, _UPPER, _HIGH, _HIGH)]
    gain = (tau * _HIGH) ** 2 * 10 ** (_GAIN_DB / 20)
    numerator, denominator = signal.zpk2tf([0.0] * 4, poles, gain)
    digital = signal.bilinear(numerator, denominator, fs=sample_rate)
    frequencies, response = signal.freqz(*digital, worN=512, fs=sample_rate)
    return torch.tensor(
        signal.firls(taps, frequencies, abs(response), fs=sample_rate), dtype=torch.float32
    )

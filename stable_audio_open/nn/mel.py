"""Levels on the mel scale, where the bass counts as much as the treble."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Levels below are silence, whatever its noise; dB below a full-scale sine.
FLOOR_DB = -80.0

# Bins of the transform per mel band (1,025 give 64, as many as the bass can tell apart).
_BINS_PER_BAND = 16


def mel_filters(fft_size: int, *, sample_rate: int) -> Float[Tensor, "bins bands"]:
    """Return triangular filters that turn magnitudes squared into power per band.

    A full-scale sine in the middle of a band has a power of 1 there.

    Args:
        fft_size: Samples of the transform and of its Hann window.
        sample_rate: Hertz.
    """
    from torchaudio.functional import melscale_fbanks

    bins = fft_size // 2 + 1
    bands = max(1, bins // _BINS_PER_BAND)
    filters = melscale_fbanks(bins, 0.0, sample_rate / 2, bands, sample_rate)
    loudness = (2 / torch.hann_window(fft_size).sum()) ** 2
    return torch.as_tensor(filters) * loudness


def mel_decibels(
    magnitudes: Float[Tensor, "batch frames bins"], filters: Float[Tensor, "bins bands"]
) -> Float[Tensor, "batch frames bands"]:
    """Return the level of each band in dB below a full-scale sine, at least -80."""
    power = magnitudes.square() @ filters.to(magnitudes.dtype)
    return power.clamp(min=10 ** (FLOOR_DB / 10)).log() * (10 / math.log(10))

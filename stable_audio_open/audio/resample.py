"""Sample-rate conversion through soxr."""

import soxr
import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
"""Samples per second of anything that is sound; others take memory without end, or end soxr."""


def resampled_length(length: int, from_rate: int, to_rate: int) -> int:
    """Number of samples that `length` samples become: length * to_rate / from_rate, rounded up."""
    return -(-length * to_rate // from_rate)


def resample(
    samples: Float[Tensor, "*lead time"], from_rate: int, to_rate: int
) -> Float[Tensor, "*lead new_time"]:
    """Return the audio at `to_rate` (soxr, high quality: about 120 dB below the pass band's peak).

    The result has `resampled_length` samples; it is on the CPU, in float32.

    Raises:
        ValueError: A rate lies outside of 1 kHz to 768 kHz.
    """
    for rate in (from_rate, to_rate):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(
                f"sample rates must lie within {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate}; "
                "44100 is usual"
            )
    if from_rate == to_rate:
        return samples
    length = resampled_length(samples.shape[-1], from_rate, to_rate)
    if not samples.numel():
        return torch.zeros(*samples.shape[:-1], length)
    rows = samples.detach().to("cpu", torch.float32).reshape(-1, samples.shape[-1])
    # A copy: soxr looks at the strides, and those of a view with one sample mislead it.
    frames = rows.T.clone(memory_format=torch.contiguous_format)
    converted = torch.from_numpy(soxr.resample(frames.numpy(), from_rate, to_rate, quality="HQ")).T
    # soxr may round the last fraction of a sample either way.
    result = converted.new_zeros(rows.shape[0], length)
    common = min(length, converted.shape[1])
    result[:, :common] = converted[:, :common]
    return result.reshape(*samples.shape[:-1], length)

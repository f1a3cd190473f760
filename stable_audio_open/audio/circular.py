"""Sounds that are rings: the end goes on at the start."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def resample_ring(
    samples: Float[Tensor, "*lead time"], length: int
) -> Float[Tensor, "*lead length"]:
    """Return a ring of another length that sounds alike, `time / length` times higher.

    The samples are those of the band-limited periodic function through the given ones.

    Args:
        samples: One turn of the ring.
        length: Samples to return, at least 1.
    """
    time = samples.shape[-1]
    if length == time:
        return samples
    spectrum = torch.fft.rfft(samples.double())
    shorter = min(time, length)
    kept = spectrum.new_zeros((*spectrum.shape[:-1], length // 2 + 1))
    # The highest frequency of an even length is one half of a pair, whose phase is not told.
    count = (shorter + 1) // 2
    kept[..., :count] = spectrum[..., :count]
    result: Tensor = torch.fft.irfft(kept, n=length) * (length / time)
    return result.to(samples.dtype)


def close_ring(samples: Float[Tensor, "*lead time"], length: int) -> Float[Tensor, "*lead length"]:
    """Shorten a ring to `length` by crossfading what is too much into its head.

    The end goes on as it did before, and fades from there into the head, at equal power.

    Args:
        samples: One turn of the ring.
        length: Samples to return, at least half of them.
    """
    surplus = samples[..., length:]
    count = surplus.shape[-1]
    assert count <= length, "a head is longer than what is faded into it"
    if count == 0:
        return samples
    head = samples[..., :count]
    angle = (torch.arange(count) + 0.5) * (math.pi / 2 / count)
    faded = head * angle.sin() + surplus * angle.cos()
    return torch.cat((faded, samples[..., count:length]), dim=-1)

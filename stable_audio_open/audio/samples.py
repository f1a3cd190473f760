"""What a batch of audio is made of, checked."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import type_name


def silent_behind(
    samples: Float[Tensor, "batch channels time"], lengths: tuple[int, ...]
) -> Float[Tensor, "batch channels time"]:
    """Return the samples with silence behind each item's end."""
    ends = list(zip(samples, lengths, strict=True))
    if not any(bool(item[:, length:].any()) for item, length in ends):
        return samples
    with torch.inference_mode(mode=False):
        copy = samples.clone()
    for item, length in zip(copy, lengths, strict=True):
        item[:, length:] = 0
    return copy


def check_samples(samples: object) -> None:
    """Check that samples are a float32 tensor of three dimensions.

    Raises:
        TypeError: They are no tensor.
        ValueError: They are of another type or shape.
    """
    wanted = "float32 of shape [batch, channels, time]"
    if isinstance(samples, np.ndarray):
        raise TypeError(
            f"samples must be a torch tensor, {wanted}, got a NumPy array of {samples.dtype} and "
            f"shape {list(samples.shape)}; use torch.from_numpy(samples)"
        )
    if not isinstance(samples, Tensor):
        raise TypeError(f"samples must be a torch tensor, {wanted}, got {type_name(samples)}")
    if samples.ndim != 3 or samples.dtype != torch.float32:
        raise ValueError(
            f"samples must be {wanted}, got {samples.dtype} of shape {list(samples.shape)}"
        )

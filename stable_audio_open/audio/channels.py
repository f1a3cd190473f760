"""Mono to stereo and back."""

from jaxtyping import Float
from torch import Tensor


def to_channels(
    samples: Float[Tensor, "batch channels time"], channels: int
) -> Float[Tensor, "batch new_channels time"]:
    """Return the audio with `channels` channels: mono is copied to both sides, stereo is averaged.

    Raises:
        ValueError: for any pair of counts but 1 and 2.
    """
    found = samples.shape[1]
    if found == channels:
        return samples
    if (found, channels) == (1, 2):
        return samples.expand(-1, 2, -1).contiguous()
    if (found, channels) == (2, 1):
        return samples.mean(dim=1, keepdim=True)
    raise ValueError(
        f"cannot turn audio of {found} channels into {channels}; only 1 to 2 and 2 to 1 are "
        "defined: mix the file down to stereo first"
    )

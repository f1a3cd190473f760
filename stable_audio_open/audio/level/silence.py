"""Where the sound is, and where it ends."""

import torch
from jaxtyping import Float
from torch import Tensor


def is_silent(samples: Float[Tensor, "*any"], threshold_db: float = -60.0) -> bool:
    """True when no sample is louder than `threshold_db` relative to full scale (1.0)."""
    return samples.numel() == 0 or float(samples.abs().max()) <= 10 ** (threshold_db / 20)


def sound_end(
    samples: Float[Tensor, "batch channels time"], sample_rate: int, threshold_db: float = -60.0
) -> list[float]:
    """Seconds, per item, after which no sample is louder than `threshold_db`; 0.0 for silence.

    The threshold is relative to full scale (1.0), not to the item's own peak, so that an item of
    nothing but faint noise counts as silent.
    """
    loud = samples.abs().amax(dim=1) > 10 ** (threshold_db / 20)
    position = torch.arange(1, samples.shape[-1] + 1, device=samples.device)
    last = (loud * position).amax(dim=-1) if samples.shape[-1] else loud.sum(dim=-1)
    return [int(end) / sample_rate for end in last]

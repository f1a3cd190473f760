"""Levels that the paper's evaluation brings recordings to before networks compute."""

from jaxtyping import Float
from torch import Tensor

PEAK_DB = -1.0
"""Level of the loudest sample, relative to full scale."""
FULL_SCALE = 32767


def at_peak(samples: Float[Tensor, "*any"], peak_db: float = PEAK_DB) -> Float[Tensor, "*any"]:
    """Return samples scaled together so that the loudest is at `peak_db`; silence stays."""
    peak = float(samples.abs().max())
    return samples * (10 ** (peak_db / 20) / peak) if peak else samples


def through_16_bits(samples: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return samples rounded towards 0 to 16 bits and back, as LAION-CLAP was trained on them."""
    return (samples.clamp(-1, 1) * FULL_SCALE).trunc() / FULL_SCALE

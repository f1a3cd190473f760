"""Vectors of a set, and which of them were not drawn independently of each other."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stable_audio_open.evaluation.result import UnmeasurableError


class Sample(NamedTuple):
    """Vectors in the order of their units."""

    values: Float[Tensor, "vectors width"]
    units: Int64[Tensor, "vectors"]
    """Number of the unit of each vector, ascending: what was drawn as one, such as the windows of a
    recording, or all sounds of a caption. Samples that are compared count them alike: the same
    number in two of them is the same unit."""

    @property
    def recordings(self) -> int:
        """How many units there are."""
        return len(self.units.unique_consecutive())


def make_sample(
    values: Float[Tensor, "vectors width"], units: Int64[Tensor, "vectors"] | None = None
) -> Sample:
    """Return vectors in the order of their units.

    Args:
        values: On the CPU, in any number format.
        units: Number of the unit of each vector, from 0. None takes each vector for a unit, the
            i-th of one sample being that of another; `units + 1_000` and the like tell them apart.

    Raises:
        UnmeasurableError: There are fewer than two units.
        ValueError: A number is not finite, or not in float32.
    """
    if units is None:
        units = torch.arange(len(values))
    if bool((units.diff() < 0).any()):
        order = units.argsort(stable=True)
        values, units = values[order], units[order]
    sample = Sample(values, units)
    if sample.recordings < 2:
        raise UnmeasurableError(
            f"a kernel distance needs at least 2 recordings in a set, there is {sample.recordings};"
            " add recordings"
        )
    if not values.float().isfinite().all():
        raise ValueError("vectors must be finite, got NaN or infinity; check the embedder")
    return sample


def check_widths(first: Sample, second: Sample) -> None:
    """Check that the vectors of two samples can be compared.

    Raises:
        ValueError: Their widths differ.
    """
    widths = first.values.shape[1], second.values.shape[1]
    if widths[0] != widths[1]:
        raise ValueError(
            f"cannot compare vectors of {widths[0]} numbers with vectors of {widths[1]}; use one "
            "embedder with the same channels for both"
        )

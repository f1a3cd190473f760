"""Whether two implementations compute the same: asked before any clock is started."""

from collections.abc import Mapping

import torch
from torch import Tensor

OURS = "stable-audio-open"
TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float32: 1e-4,
    torch.float16: 0.05,
    torch.bfloat16: 0.3,
}
"""Allowed distance: in float32 between the two; in half precision of each from its own float32
output, which guidance (two near numbers, subtracted and multiplied by 7) moves far."""
GRADIENTS = 1e-3
"""Allowed distance of loss and norm of the gradient in float32: a sum over all weights."""
OWN_ARITHMETIC: Mapping[tuple[str, str], torch.dtype] = {
    # It runs the text encoder in float16, whatever type is asked for.
    ("stable-audio-tools", "text"): torch.float16,
}
OWN_NOISE = ("clip",)
"""Cases where each side draws its own noise and has its own solver: shapes are compared alone."""


class OutputsDifferError(ValueError):
    """The two sides do not compute the same, so their times say nothing."""


def distance(found: Tensor, reference: Tensor) -> float:
    """Return the root mean square of the difference, in units of that of the reference.

    Raises:
        OutputsDifferError: When the shapes differ.
    """
    if found.shape != reference.shape:
        raise OutputsDifferError(
            f"outputs have the shapes {list(found.shape)} and {list(reference.shape)}"
        )
    found, reference = found.double(), reference.double()
    return float((found - reference).square().mean().sqrt() / reference.square().mean().sqrt())


def compare(case: str, outputs: Mapping[str, Tensor]) -> dict[str, float]:
    """Return how far this package's output is from each peer's, all in float32.

    Raises:
        OutputsDifferError: When that is farther than is allowed, or not a number.
    """
    found = {}
    ours = outputs[OURS]
    for peer, theirs in outputs.items():
        if peer == OURS:
            continue
        if case in OWN_NOISE:
            if ours.shape != theirs.shape or not (
                ours.isfinite().all() and theirs.isfinite().all()
            ):
                raise OutputsDifferError(
                    f"{case}: outputs of {OURS} and {peer} have the shapes {list(ours.shape)} and "
                    f"{list(theirs.shape)}, and must be alike and finite"
                )
            continue
        found[peer] = _within(
            distance(ours, theirs),
            _tolerance(case, peer),
            f"{case}: the output differs from that of {peer}",
            torch.float32,
        )
    return found


def compare_half(
    case: str, outputs: Mapping[str, Tensor], own: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, float]:
    """Return how far each side's output in half precision is from its own in float32.

    Args:
        case: What was computed.
        outputs: Of each side, in `dtype`.
        own: The same, in float32.
        dtype: The half precision.

    Raises:
        OutputsDifferError: When that is farther than is allowed, or not a number.
    """
    if case in OWN_NOISE:
        return {}
    return {
        side: _within(
            distance(output, own[side]),
            TOLERANCES[dtype],
            f"{case}: the output of {side} differs from its own in float32",
            dtype,
        )
        for side, output in outputs.items()
    }


def _tolerance(case: str, peer: str) -> float:
    if case.startswith("train-"):
        return GRADIENTS
    return TOLERANCES[OWN_ARITHMETIC.get((peer, case), torch.float32)]


def _within(value: float, allowed: float, what: str, dtype: torch.dtype) -> float:
    if not value <= allowed:
        raise OutputsDifferError(
            f"{what} by {value:.3g} of its root mean square in "
            f"{str(dtype).removeprefix('torch.')}, allowed is {allowed:g}; it was not timed"
        )
    return value

"""Whether two implementations compute the same: asked before any clock is started."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float32: 1e-4,
    torch.float16: 0.05,
    torch.bfloat16: 0.3,
}
"""Allowed distance: in float32 between the two; in half precision of each from its own float32
output, which guidance (two near numbers, subtracted and multiplied by 7) moves far."""


class OutputsDifferError(ValueError):
    """The two sides do not compute the same, so their times say nothing."""


class Peers(Protocol):
    """One part of the model here and in diffusers, with the same weights and the same input."""

    @property
    def name(self) -> str:
        """What the part is called."""

    @property
    def shape(self) -> str:
        """How large the input is, for a reader."""

    @property
    def parameters(self) -> int:
        """Numbers in the weights that the part uses."""

    @property
    def amount(self) -> float:
        """What one call does, counted so that `amount` per second is in `unit`."""

    @property
    def unit(self) -> str:
        """Unit of the speed."""

    def cast(self, dtype: torch.dtype) -> None:
        """Convert the weights of both sides, and their inputs."""

    def ours(self) -> Tensor:
        """Compute with this package."""

    def diffusers(self) -> Tensor:
        """Compute with diffusers."""


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


def compare(peers: Peers, dtype: torch.dtype) -> dict[str, dict[str, float]]:
    """Return how far the outputs are apart, by data type; `peers` is left in `dtype`.

    Raises:
        OutputsDifferError: When that is farther than `TOLERANCES` allows, or not a number.
    """
    peers.cast(torch.float32)
    theirs, ours = peers.diffusers(), peers.ours()
    apart = _within(
        distance(ours, theirs), torch.float32, f"{peers.name}: the output differs from diffusers'"
    )
    found = {"float32": {"difference": apart, "tolerance": TOLERANCES[torch.float32]}}
    if dtype != torch.float32:
        peers.cast(dtype)
        found[str(dtype).removeprefix("torch.")] = {
            name: _within(
                distance(call(), reference),
                dtype,
                f"{peers.name}: the output of {name} differs from its own in float32",
            )
            for name, call, reference in (
                ("stable_audio_open", peers.ours, ours),
                ("diffusers", peers.diffusers, theirs),
            )
        } | {"tolerance": TOLERANCES[dtype]}
    return found


def _within(value: float, dtype: torch.dtype, what: str) -> float:
    allowed = TOLERANCES[dtype]
    if not value <= allowed:
        raise OutputsDifferError(
            f"{what} by {value:.3g} of its root mean square in "
            f"{str(dtype).removeprefix('torch.')}, allowed is {allowed:g}; nothing was timed"
        )
    return value

"""Tensors of a checkpoint against those of the network that it is for."""

from collections.abc import Mapping

from torch import Tensor

from stable_audio_open.nn.weights import type_fault, value_fault


def check_tensors(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    where: object,
    network: str,
    hint: str = "",
) -> None:
    """Compare names, types and shapes, and look for numbers that are not finite.

    Args:
        found: Tensors of the checkpoint.
        wanted: Tensors of the network; they may be on the meta device.
        where: What the error begins with.
        network: What the error calls the network.
        hint: What the error ends with.

    Raises:
        ValueError: A tensor is missing, left over, of another shape or of a type that no weights
            have, or not finite; the first one is named.
    """
    if fault := type_fault(found, wanted):
        raise ValueError(f"{where}: {fault}")
    for name in sorted(found.keys() | wanted.keys()):
        has = list(found[name].shape) if name in found else "of nothing"
        takes = list(wanted[name].shape) if name in wanted else "no such tensor"
        if has != takes:
            raise ValueError(
                f"{where}: {name} has the shape {has}, where {network} has {takes}{hint}"
            )
    if fault := value_fault(found):
        raise ValueError(f"{where}: {fault}")

"""Tensors of a checkpoint against those of the network that it is for."""

from collections.abc import Mapping

from torch import Tensor


def check_shapes(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    where: object,
    network: str,
    hint: str = "",
) -> None:
    """Compare names and shapes.

    Args:
        found: Tensors of the checkpoint.
        wanted: Tensors of the network; they may be on the meta device.
        where: What the error begins with.
        network: What the error calls the network.
        hint: What the error ends with.

    Raises:
        ValueError: A tensor is missing, left over or of another shape; the first one is
            named.
    """
    for name in sorted(found.keys() | wanted.keys()):
        has = list(found[name].shape) if name in found else "of nothing"
        takes = list(wanted[name].shape) if name in wanted else "no such tensor"
        if has != takes:
            raise ValueError(
                f"{where}: {name} has the shape {has}, where {network} has {takes}{hint}"
            )

"""Weights that Keras saved as HDF5, without Keras: layers in their order, each with its tensors.

The layout of Keras 1 and 2 (`model.save_weights("x.h5")`), and that of a whole model
(`model.save("x.h5")`), whose layers lie in the group `model_weights`.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_layers(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each layer that has some, such as `kernel` and `bias`.

    Raises:
        ValueError: The file is of another layout or damaged, or the package h5py is missing.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ValueError(
            f"{path}: reading it needs the package h5py: pip install stable-audio-open[eval]"
        )
    import h5py

    layers: dict[str, dict[str, Tensor]] = {}
    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            if "layer_names" not in group.attrs:
                raise ValueError("it has no list layer_names")
            for layer in map(_text, group.attrs["layer_names"]):
                tensors = {}
                for name in map(_text, group[layer].attrs["weight_names"]):
                    part = name.rpartition("/")[2].removesuffix(":0")
                    tensors[part] = torch.from_numpy(group[layer][name][()])
                if tensors:
                    layers[layer] = tensors
    except (OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: cannot be read as weights of Keras ({reason}); download it again, and unpack "
            "what ends in .gz"
        ) from error
    return layers


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)

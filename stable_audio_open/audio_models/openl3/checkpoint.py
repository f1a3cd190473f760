"""The published weights of OpenL3, read strictly."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stable_audio_open.audio_models.checkpoint_hash import checkpoint_hash
from stable_audio_open.audio_models.openl3.keras_h5 import read_layers
from stable_audio_open.audio_models.openl3.network import WIDTHS, OpenL3, OpenL3Embedder
from stable_audio_open.nn.weights import type_fault, value_fault

DOWNLOAD = (
    "download openl3_audio_mel256_env-v0_4_0.h5.gz or openl3_audio_mel256_music-v0_4_0.h5.gz from "
    "https://github.com/marl/openl3/raw/models/ and unpack it with gunzip"
)
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
CONVOLUTION = ("kernel", "bias")
OTHERS = ("linear", "mel128", "image")
"""In the names of files whose tensors may have the same shapes."""

OURS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "kernel": "weight",
    "bias": "bias",
}


def load_openl3(path: str | Path, *, device: str | torch.device = "cpu") -> OpenL3Embedder:
    """Return the embedder of a file of weights; every tensor of it is used.

    The published files could not be had where this was written. Read was what Keras saves of the
    same layers; whether a file of OpenL3 holds more is seen when it is read, as an error.

    Args:
        path: `openl3_audio_mel256_env.h5` or `openl3_audio_mel256_music.h5` of OpenL3 0.4. The
            widths of the network are read from it.
        device: Where to compute.

    Raises:
        ValueError: The file is missing, damaged or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; {DOWNLOAD}")
    if other := next((word for word in OTHERS if word in path.name), None):
        raise ValueError(f"{path}: {other} weights by their name, where mel256 is read; {DOWNLOAD}")
    network = load_network(read_layers(path), path)
    name = f"OpenL3 {path.name} sha256:{checkpoint_hash([path])}"
    return OpenL3Embedder(network, name=name, device=device)


def load_network(layers: Mapping[str, Mapping[str, Tensor]], where: object) -> OpenL3:
    """Return the network of Keras' layers, which have to come in the order of the network.

    Raises:
        ValueError: A layer or tensor is missing, left over, of another shape or type or not finite.
    """
    kinds = [NORM, CONVOLUTION] * len(WIDTHS)
    for place, (name, tensors) in enumerate(layers.items()):
        wanted = kinds[place] if place < len(kinds) else ()
        if sorted(tensors) != sorted(wanted):
            raise ValueError(
                f"{where}: layer {place + 1}, {name}, has {', '.join(tensors)}, where OpenL3 has "
                f"{', '.join(wanted) or 'no such layer'}; {DOWNLOAD}"
            )
    if len(layers) != len(kinds):
        raise ValueError(f"{where}: {len(layers)} layers, where OpenL3 has {len(kinds)}")
    widths = [len(tensors["bias"]) for tensors in layers.values() if "kernel" in tensors]
    with torch.device("meta"):
        network = OpenL3(widths=widths)
    places = network.state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in places.items()}
    state = {
        name: torch.zeros((), dtype=torch.int64)
        for name in shapes
        if name.endswith("num_batches_tracked")
    }
    for place, (layer, tensors) in enumerate(layers.items()):
        module = ("norms", "convolutions")[place % 2]
        for part, tensor in tensors.items():
            name = f"{module}.{place // 2}.{OURS[part]}"
            if fault := type_fault({f"{layer}/{part}": tensor}, {f"{layer}/{part}": places[name]}):
                raise ValueError(f"{where}: {fault}")
            # Keras: height, width, inputs, filters.
            tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
            if list(tensor.shape) != shapes[name]:
                raise ValueError(
                    f"{where}: {layer}/{part} has the shape {list(tensor.shape)} in our order, "
                    f"where OpenL3 has {shapes[name]}"
                )
            state[name] = tensor.float().contiguous()
    if fault := value_fault(state):
        raise ValueError(f"{where}: {fault}")
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False)

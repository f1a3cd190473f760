"""A checkpoint of PaSST from a local file; hear21passt would fetch one by itself."""

import importlib.util
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stable_audio_open.audio_models.checkpoint_hash import checkpoint_hash
from stable_audio_open.audio_models.passt.network import BANDS, FRAMES, PasstTagger
from stable_audio_open.audio_models.pickles import read_pickled_weights
from stable_audio_open.audio_models.tensors import check_tensors

DOWNLOAD = (
    "download passt-s-f128-p16-s10-ap.476-swa.pt from "
    "https://github.com/kkoutini/PaSST/releases/tag/v0.0.1-audioset"
)
PATCH = 16
STRIDE = 10
HEAD = 64
"""Width of an attention head."""

TRAINED_FRAMES = 998
"""The positions in the checkpoint are those of this many frames; 1000 have as many patches."""


def load_passt(path: str | Path, *, device: str | torch.device = "cpu") -> PasstTagger:
    """Return the tagger of a checkpoint; every tensor of it is used, and nothing is fetched.

    The published file could not be had where this was written: read was what hear21passt's own
    network of the same size saves, which the package itself loads strictly.

    Args:
        path: `passt-s-f128-p16-s10-ap.476-swa.pt`, the network that hear21passt names
            `passt_s_swa_p16_128_ap476`, or one of the same layout. Width, depth and number of
            classes are read from the file.
        device: Where to compute.

    Raises:
        ValueError: The file is missing, damaged or of another network, or the package is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; {DOWNLOAD}")
    network = load_network(_read(path), path)
    name = f"PaSST {path.name} sha256:{checkpoint_hash([path])}"
    return PasstTagger(network, name=name, device=device)


def load_network(state: Mapping[str, Tensor], where: object) -> nn.Module:
    """Return hear21passt's network of a state dict.

    Raises:
        ValueError: A tensor is missing, left over, of another shape or type or not finite, or the
            package is missing.
    """
    module = _package(where)
    blocks = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))}
    try:
        width, classes = state["cls_token"].shape[-1], len(state["head_dist.bias"])
    except KeyError as error:
        raise ValueError(f"{where}: holds no tensor {error.args[0]}; {DOWNLOAD}") from error
    # Its initialisation draws from the global generator; every value of it is replaced.
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = module.PaSST(
            img_size=(BANDS, TRAINED_FRAMES),
            patch_size=PATCH,
            stride=(STRIDE, STRIDE),
            in_chans=1,
            num_classes=classes,
            embed_dim=width,
            depth=len(blocks),
            num_heads=max(1, width // HEAD),
            distilled=True,
        )
    wanted = network.state_dict()
    check_tensors(state, wanted, where=where, network="PaSST", hint=f"; {DOWNLOAD}")
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    # Else it warns of every window.
    patches: Any = network.patch_embed
    patches.img_size = (BANDS, FRAMES)
    return network.requires_grad_(False)


def _package(where: object) -> Any:
    if importlib.util.find_spec("hear21passt") is None:
        raise ValueError(
            f"{where}: PaSST needs the package hear21passt: pip install stable-audio-open[eval]"
        )
    module: Any = import_module("hear21passt.models.passt")
    module.first_RUN = False  # else the first call prints every shape
    return module


def _read(path: Path) -> dict[str, Tensor]:
    state = read_pickled_weights(path)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f"{path}: holds no dictionary of tensors; {DOWNLOAD}")
    return state

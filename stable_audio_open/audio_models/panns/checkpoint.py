"""The published checkpoints of PANNs, read strictly, and AudioSet's names beside them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from stable_audio_open.audio_models.checkpoint_hash import checkpoint_hash
from stable_audio_open.audio_models.panns.clip import Cnn14Clip, PannsClipTagger
from stable_audio_open.audio_models.panns.network import (
    Cnn14,
    Cnn14DecisionLevel,
    PannsTagger,
    panns_spectrogram,
)
from stable_audio_open.audio_models.pickles import read_pickled_weights
from stable_audio_open.audio_models.stft_weights import FILTERS, IMAGINARY, REAL, check_front_end
from stable_audio_open.audio_models.tensors import check_tensors

CHECKPOINT = "Cnn14_DecisionLevelMax_mAP=0.385.pth"
CLIP_CHECKPOINT = "Cnn14_mAP=0.431.pth"
ZENODO = "https://zenodo.org/records/3987831"
Network = TypeVar("Network", bound=Cnn14)

LABELS = "class_labels_indices.csv"
LABEL_COLUMNS = ["index", "mid", "display_name"]
FRONT_END = "at 32 kHz with a window of 1024, mel bands from 50 to 14000 Hz"


def load_panns(path: str | Path, *, device: str | torch.device = "cpu") -> PannsTagger:
    """Return the tagger of a checkpoint, with the class names that lie beside it.

    Every tensor of the file is used, or compared with ours where it is computed (the spectrogram).
    The widths of the network are read from the file.

    Args:
        path: `Cnn14_DecisionLevelMax_mAP=0.385.pth`, or one of the same layout; the names are in
            `class_labels_indices.csv` (columns index, mid, display_name) in the same folder.
        device: Where to compute.

    Raises:
        ValueError: A file is missing, damaged or of another network.
    """
    path = Path(path)
    state = _read(path, CHECKPOINT)
    classes = read_class_names(path.parent / LABELS)
    network = load_network(state, path, kind=Cnn14DecisionLevel)
    return PannsTagger(
        network,
        panns_spectrogram(network.bn0.num_features),
        classes=classes,
        name=f"PANNs {path.name} sha256:{checkpoint_hash([path])}",
        device=device,
    )


def load_panns_clip(path: str | Path, *, device: str | torch.device = "cpu") -> PannsClipTagger:
    """Return the tagger of whole clips; every tensor is used or compared, as in `load_panns`.

    Args:
        path: `Cnn14_mAP=0.431.pth`, or one of the same layout. The frame-wise checkpoint has the
            same tensors but was trained for another pooling: it is refused by its name.
        device: Where to compute.

    Raises:
        ValueError: The file is missing, damaged or of another network.
    """
    path = Path(path)
    if "DecisionLevel" in path.name:
        raise ValueError(
            f"{path}: the frame-wise network by its name; whole clips need {CLIP_CHECKPOINT} of "
            f"PANNs ({ZENODO})"
        )
    state = _read(path, CLIP_CHECKPOINT)
    network = load_network(state, path, kind=Cnn14Clip)
    return PannsClipTagger(
        network,
        panns_spectrogram(network.bn0.num_features),
        name=f"PANNs {path.name} sha256:{checkpoint_hash([path])}",
        device=device,
    )


def load_network(state: Mapping[str, Tensor], where: object, *, kind: type[Network]) -> Network:
    """Return the network of a state dict, and compare the front end in it with ours.

    Args:
        state: Tensors by their published names.
        where: What errors begin with.
        kind: The class of the network.

    Raises:
        ValueError: A tensor is missing, left over, of another shape, type or front end, or not
            finite.
    """
    state = dict(state)
    published = CLIP_CHECKPOINT if kind is Cnn14Clip else CHECKPOINT
    widths = [
        len(tensor)
        for name, tensor in sorted(state.items())
        if name.startswith("conv_block") and name.endswith("conv2.weight")
    ]
    try:
        bands, classes = len(state["bn0.weight"]), len(state["fc_audioset.weight"])
        front_end = {name: state.pop(name) for name in (REAL, IMAGINARY, FILTERS)}
    except KeyError as error:
        raise ValueError(
            f"{where}: holds no tensor {error.args[0]}; give {published} of PANNs"
        ) from error
    with torch.device("meta"):
        network = kind(classes=classes, widths=widths, bands=bands)
    check_tensors(state, network.state_dict(), where=where, network="Cnn14")
    check_front_end(front_end, panns_spectrogram(bands), where, FRONT_END)
    single = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    network.load_state_dict(single, assign=True)
    return network


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the display names of AudioSet's list, in the order of their index.

    Raises:
        ValueError: The file is missing or not that list.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != LABEL_COLUMNS:
                raise ValueError(
                    f"{path}: the columns are {rows.fieldnames}; AudioSet's list has "
                    f"{', '.join(LABEL_COLUMNS)}"
                )
            names = []
            for number, row in enumerate(rows):
                if row["index"] != str(number) or not row["display_name"]:
                    raise ValueError(
                        f"{path}:{rows.line_num}: expected class {number} with a name, got "
                        f"{row['index']!r}, {row['display_name']!r}"
                    )
                names.append(row["display_name"])
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); PANNs' classes have no names in the "
            f"checkpoint: put AudioSet's {LABELS} (527 rows: index, mid, display_name) beside it"
        ) from error
    return tuple(names)


def _read(path: Path, published: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; download {published} of PANNs from {ZENODO} and give its path"
        )
    content = read_pickled_weights(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f'{path}: holds no "model" with tensors; give {published} of PANNs')
    return state

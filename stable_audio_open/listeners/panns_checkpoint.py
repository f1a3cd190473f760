"""The published checkpoints of PANNs, read strictly, and AudioSet's names beside them."""

import csv
import hashlib
import math
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stable_audio_open.listeners.log_mel import MelSpectrogram
from stable_audio_open.listeners.panns import (
    WINDOW,
    Cnn14DecisionLevel,
    PannsTagger,
    panns_spectrogram,
)

CHECKPOINT = "Cnn14_DecisionLevelMax_mAP=0.385.pth"
LABELS = "class_labels_indices.csv"
LABEL_COLUMNS = ["index", "mid", "display_name"]

REAL = "spectrogram_extractor.stft.conv_real.weight"
IMAGINARY = "spectrogram_extractor.stft.conv_imag.weight"
FILTERS = "logmel_extractor.melW"
FRONT_END_TOLERANCE = 1e-4
"""Of the greatest weight; the published ones are the same formulas in another order."""


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
    state = _read(path)
    classes = read_class_names(path.parent / LABELS)
    network = load_network(state, path)
    return PannsTagger(
        network,
        panns_spectrogram(network.bn0.num_features),
        classes=classes,
        name=f"PANNs {path.name} sha256:{_digest(path)}",
        device=device,
    )


def load_network(state: Mapping[str, Tensor], where: object) -> Cnn14DecisionLevel:
    """Return the network of a state dict, and compare the front end in it with ours.

    Raises:
        ValueError: A tensor is missing, left over, of another shape or of another front end.
    """
    state = dict(state)
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
            f"{where}: holds no tensor {error.args[0]}; give {CHECKPOINT} of PANNs"
        ) from error
    with torch.device("meta"):
        network = Cnn14DecisionLevel(classes=classes, widths=widths, bands=bands)
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in state.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"{where}: {name} has the shape {found.get(name, 'of nothing')}, where "
                f"Cnn14_DecisionLevelMax has {wanted.get(name, 'no such tensor')}"
            )
    _check_front_end(front_end, panns_spectrogram(bands), where)
    network.load_state_dict(state, assign=True)
    return network


def front_end_tensors(spectrogram: MelSpectrogram) -> dict[str, Tensor]:
    """Return the tensors that the published network computes its spectrogram with.

    A transform as two convolutions: the window times cosines, and times negative sines.
    """
    bins = torch.arange(WINDOW // 2 + 1, dtype=torch.float64)
    # Modulo the period in whole numbers, so that the angle keeps its digits.
    turns = torch.outer(bins, torch.arange(WINDOW, dtype=torch.float64)) % WINDOW / WINDOW
    window = spectrogram.window.double()
    return {
        REAL: ((2 * math.pi * turns).cos() * window).float()[:, None],
        IMAGINARY: (-(2 * math.pi * turns).sin() * window).float()[:, None],
        FILTERS: spectrogram.filters,
    }


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


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; download {CHECKPOINT} of PANNs and give its path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: cannot be read as a checkpoint ({reason})") from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f'{path}: holds no "model" with tensors; give {CHECKPOINT} of PANNs')
    return state


def _check_front_end(found: dict[str, Tensor], spectrogram: MelSpectrogram, where: object) -> None:
    for name, ours in front_end_tensors(spectrogram).items():
        if not _close(found[name], ours):
            raise ValueError(
                f"{where}: {name} is not that of a spectrogram at 32 kHz with a window of 1024, "
                "mel bands from 50 to 14000 Hz; give a checkpoint trained on that"
            )


def _close(theirs: Tensor, ours: Tensor) -> bool:
    if theirs.shape != ours.shape:
        return False
    return bool((theirs - ours).abs().max() <= FRONT_END_TOLERANCE * ours.abs().max())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]

"""Spectrograms that a checkpoint stores as weights, in the layout of torchlibrosa.

A transform is two convolutions, the window times cosines and times negative sines, and a matrix of
mel filters. They are formulas and not trained: they are compared with ours, which computes the same
in less.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.nn.weights import type_fault

REAL = "spectrogram_extractor.stft.conv_real.weight"
IMAGINARY = "spectrogram_extractor.stft.conv_imag.weight"
FILTERS = "logmel_extractor.melW"
TOLERANCE = 1e-4
"""Largest difference, as a share of the greatest weight.

The published ones are the same formulas in another order."""


def front_end_tensors(spectrogram: MelSpectrogram) -> dict[str, Tensor]:
    """Return the weights of a spectrogram by their published names."""
    size = len(spectrogram.window)
    bins = torch.arange(size // 2 + 1, dtype=torch.float64)
    # Modulo the period in whole numbers, so that the angle keeps its digits.
    turns = torch.outer(bins, torch.arange(size, dtype=torch.float64)) % size / size
    window = spectrogram.window.double()
    return {
        REAL: ((2 * math.pi * turns).cos() * window).float()[:, None],
        IMAGINARY: (-(2 * math.pi * turns).sin() * window).float()[:, None],
        FILTERS: spectrogram.filters,
    }


def check_front_end(
    found: Mapping[str, Tensor], spectrogram: MelSpectrogram, where: object, described: str
) -> None:
    """Compare the weights in a checkpoint with a spectrogram.

    Args:
        found: By their published names.
        spectrogram: What they should compute.
        where: What the error begins with.
        described: The spectrogram in words.

    Raises:
        ValueError: They differ, or are of a type that no weights have.
    """
    front_end = front_end_tensors(spectrogram)
    if fault := type_fault(found, front_end):
        raise ValueError(f"{where}: {fault}")
    for name, ours in front_end.items():
        if not _close(found[name], ours):
            raise ValueError(
                f"{where}: {name} is not that of a spectrogram {described}; give a checkpoint "
                "trained on that"
            )


def _close(theirs: Tensor, ours: Tensor) -> bool:
    if theirs.shape != ours.shape:
        return False
    return bool((theirs - ours).abs().max() <= TOLERANCE * ours.abs().max())

"""What a tagger found in the recordings of a reference set, in one file.

The authors of the paper's metrics publish such files of the data sets that they evaluate on: a
pickled dictionary of a distribution over the tagger's classes for each recording, by its id.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.files.archives.pickled_arrays import read_arrays
from stable_audio_open.files.archives.pickles import PickleError

SUFFIXES = (".pkl", ".pickle")
EXACT = 1e-3
"""By how much the sum of a distribution may differ from 1."""


def read_probabilities(path: Path) -> dict[str, Float[Tensor, "classes"]]:
    """Return the distribution of each recording, in float64. Nothing in the file is run.

    Raises:
        ValueError: It cannot be read, or holds anything else.
    """
    try:
        found = read_arrays(path.read_bytes())
        if not found:
            raise PickleError("it holds no recordings")
        return {name: _distribution(name, values, found) for name, values in found.items()}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except PickleError as error:
        raise ValueError(
            f"{path}: not the probabilities of a reference set ({error}); allowed: a pickled "
            "dictionary of a distribution over classes for each id"
        ) from error


def _distribution(name: str, values: Tensor, found: dict[str, Tensor]) -> Tensor:
    flat = values.squeeze()
    if flat.ndim != 1:
        raise PickleError(f"for {name[:100]!r} it holds numbers of the shape {list(values.shape)}")
    if bool((flat < 0).any()) or not torch.isclose(flat.sum(), flat.new_ones(()), atol=EXACT):
        raise PickleError(f"for {name[:100]!r} it holds numbers that are no distribution")
    first = next(iter(found.values())).numel()
    if len(flat) != first:
        raise PickleError(f"for {name[:100]!r} it holds {len(flat)} classes, at first {first}")
    return flat

"""Mean and covariance of a reference set as the authors of the paper's metrics publish them.

An .npz with `mu_ref` and `sigma_ref`, which says nothing of recordings or embedder: its name does.
"""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stable_audio_open.evaluation.frechet.gaussian import WIDEST, Gaussian

SUFFIX = ".npz"
MEAN, COVARIANCE = "mu_ref", "sigma_ref"
HEADER = 8192
"""Bytes that the header of an array may take."""
ROUNDING = 1e-6
"""Asymmetry, and negative eigenvalues, below this share of the largest number are rounding."""
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,  # no such array
    EOFError,
    NotImplementedError,  # a compression that is not there
    RuntimeError,  # a password
    zipfile.BadZipFile,
    zlib.error,
)
"""What `zipfile` and numpy raise of archives that are cut, damaged or of another kind."""


def read_published(path: Path) -> Gaussian:
    """Return the Gaussian of an .npz, of an unknown number of windows. Nothing in it is run.

    Raises:
        ValueError: It cannot be read, or is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            mean = _array(archive, MEAN, dimensions=1)
            covariance = _array(archive, COVARIANCE, dimensions=2)
        _check(mean, covariance)
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(
            f"{path}: not statistics of a reference set ({' '.join(str(reason).split())[:200]}); "
            f"allowed: an .npz with {MEAN} and {COVARIANCE}, or what --cache made"
        ) from error
    return Gaussian(mean, covariance, None)


def _array(archive: zipfile.ZipFile, name: str, *, dimensions: int) -> Tensor:
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        # The header alone first: it may promise more than there is memory for.
        shape, dtype = _header(io.BytesIO(file.read(HEADER)))
        if dtype.kind != "f":
            raise ValueError(f"{name} holds {dtype}, no floating-point numbers")
        if len(shape) != dimensions or not all(1 <= size <= WIDEST for size in shape):
            raise ValueError(
                f"{name} has the shape {list(shape)}; allowed: {dimensions} dimensions of at most "
                f"{WIDEST}"
            )
        if entry.file_size > HEADER + dtype.itemsize * int(np.prod(shape)):
            raise ValueError(f"{name} is longer than its shape {list(shape)}")
    with archive.open(entry) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
    return torch.from_numpy(array.astype(np.float64))


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"arrays of version {version} are not read")
    shape, _, dtype = read[version](file)  # type: ignore[no-untyped-call]
    return shape, dtype


def _check(mean: Tensor, covariance: Tensor) -> None:
    width = len(mean)
    if covariance.shape != (width, width):
        raise ValueError(
            f"{MEAN} has {width} numbers, {COVARIANCE} {len(covariance)} x {covariance.shape[1]}"
        )
    if not mean.isfinite().all() or not covariance.isfinite().all():
        raise ValueError("a number is NaN or infinite")
    rounding = ROUNDING * float(covariance.abs().max())
    if float((covariance - covariance.T).abs().max()) > rounding:
        raise ValueError(f"{COVARIANCE} is not symmetric")
    if float(torch.linalg.eigvalsh(covariance)[0]) < -rounding:
        raise ValueError(f"{COVARIANCE} has negative eigenvalues")

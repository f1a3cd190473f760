"""Tensor files: safetensors, and PyTorch's own format with nothing but tensors and plain values."""

import errno
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stable_audio_open.files.archives.zips import damaged_part
from stable_audio_open.files.pipes_and_devices import SpecialFileError, refuse_special_inside

TENSOR_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_CUT_SHORT = "is truncated or not a checkpoint; copy or download it again"
_UNREADABLE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    struct.error,
)
"""What torch raises for damaged files and for those of another kind."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: one line with file, fault and remedy."""


def refuse_what_is_no_file(path: Path) -> None:
    """Check that neither a checkpoint nor a file in its folder is a pipe, a socket or a device.

    Raises:
        CheckpointError: One is: reading it could wait for ever.
    """
    try:
        refuse_special_inside(path, suffixes=(*TENSOR_SUFFIXES, ".json", ".model"))
    except SpecialFileError as error:
        raise CheckpointError(str(error)) from error


class TensorFile(NamedTuple):
    """Named tensors, and what else the file says about itself."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]


def read_tensors(path: Path, *, compared: bool = True) -> TensorFile:
    """Read every tensor of a file onto the CPU.

    The header is the metadata of a safetensors file; of another file, it is everything beside the
    `state_dict`.

    Args:
        path: The file.
        compared: Compare what `torch.save` wrote with the checksums inside, at about 1 GB a second.

    Raises:
        CheckpointError: When the file is missing, damaged, or needs to run code to be read.
    """
    refuse_what_is_no_file(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder, not a file of weights; move it elsewhere")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in TENSOR_SUFFIXES:
        file = _read_pickle(path)
        if compared and zipfile.is_zipfile(path):
            check_undamaged(path)
        return file
    raise CheckpointError(
        f"{path}: found the suffix {path.suffix!r}; allowed: {', '.join(TENSOR_SUFFIXES)}"
    )


def read_header(path: Path) -> dict[str, Any]:
    """Read what a file says about itself, and for safetensors no tensor at all."""
    if path.suffix != ".safetensors":
        return read_tensors(path, compared=False).header
    refuse_what_is_no_file(path)
    return _safetensors_header(path)


def check_undamaged(path: Path) -> None:
    """Compare a file that `torch.save` wrote with the checksums inside; it is read once.

    Raises:
        CheckpointError: When its bytes are not those that were written.
    """
    if part := damaged_part(path):
        raise CheckpointError(f"{path}: is damaged, {part} is not as it was written")


def _safetensors_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} {_CUT_SHORT} ({error})") from error


def _read_safetensors(path: Path) -> TensorFile:
    header = _safetensors_header(path)
    with safe_open(path, framework="pt") as file:
        # Mapped from the file, not read: bytes travel when they are first used.
        return TensorFile({name: file.get_tensor(name) for name in file.keys()}, header)  # noqa: SIM118


def _read_pickle(path: Path) -> TensorFile:
    zipped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        if not zipped and file.read(2) == b"PK":
            raise CheckpointError(f"{path} {_CUT_SHORT}")
    try:
        # A sparse tensor is refused later, and may not reach over its memory until then.
        with torch.sparse.check_sparse_tensor_invariants():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} {_CUT_SHORT}") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a place before the beginning
            raise CheckpointError(f"{path} {_CUT_SHORT}") from error
        raise  # of a disk or network, which says nothing of the bytes
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: found {type(content).__name__}; allowed: named tensors")
    state = content.get("state_dict", content)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: `state_dict` holds {type(state).__name__}, not tensors")
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if tensors and state is not content:
        _refuse_others(state, content, path)
    if not tensors:
        raise CheckpointError(f"{path}: found no tensors")
    if not all(isinstance(name, str) for name in (*tensors, *content)):
        raise CheckpointError(f"{path}: found names that are not text; allowed: named tensors")
    return TensorFile(tensors, {k: v for k, v in content.items() if not isinstance(v, Tensor)})


def _refuse_others(state: Mapping[Any, Any], content: Mapping[Any, Any], path: Path) -> None:
    """Refuse what stands in the place of a tensor, or a tensor outside of the `state_dict`."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {str(name)[:100]!r} in `state_dict` is {type(value).__name__}, not a "
                "tensor; save the weights again without it"
            )
    for name, value in content.items():
        if isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: holds the tensor {str(name)[:100]!r} beside `state_dict`, where no "
                "weights are looked for; save the weights again, all in one place"
            )


def _refusal(path: Path, error: UnpicklingError) -> str:
    """Say what a pickle wanted beside tensors and plain values."""
    wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
    if wanted is None and "allowlisted" not in str(error):
        return f"{path} {_CUT_SHORT}"
    what = f" (it names {wanted[1]})" if wanted else ""
    return (
        f"{path}: refused, because it holds more than tensors and plain values{what} and reading "
        "that runs code; save it as safetensors with the program that wrote it"
    )

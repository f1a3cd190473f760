"""Arrays of NumPy and tensors of PyTorch in pickles, made from their bytes by ourselves."""

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from stable_audio_open.files.archives.pickles import Constructors, PickleError, read_pickle

if TYPE_CHECKING:
    Numbers = np.ndarray[Any, Any]
else:  # the shape is checked by jaxtyping, which mypy takes for a bare array
    Numbers = Shaped[np.ndarray, "..."]

LARGEST = 1 << 20
"""Numbers of an array."""
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
STORAGES = {
    f"torch.{name}Storage": code
    for name, code in (
        *(("Half", "f2"), ("Float", "f4"), ("Double", "f8"), ("BFloat16", "u2"), ("Bool", "b1")),
        *(("Char", "i1"), ("Byte", "u1"), ("Short", "i2"), ("Int", "i4"), ("Long", "i8")),
    )
}
"""Number formats by the types of PyTorch; a bfloat16 is the upper half of a float32."""
HEADERS = 3
"""Pickles before that of a storage: a magic number, a version, the machine."""


def read_arrays(content: bytes) -> dict[str, Float[Tensor, "..."]]:
    """Return the arrays of a pickled dictionary by their keys, in float64.

    They may be arrays of NumPy, tensors of PyTorch (on the CPU whatever their device was) or lists
    of numbers; keys may be numbers, which are returned as text.

    Raises:
        PickleError: It is damaged, holds or names anything else, or has two keys of one text.
    """
    found = read_pickle(content, CONSTRUCTORS)
    if not isinstance(found, dict):
        raise PickleError(f"it holds a {_kind(found)}, no dictionary")
    arrays = {str(key): _numbers(str(key), value) for key, value in found.items()}
    if len(arrays) < len(found):
        raise PickleError("it has a key twice, as text and as a number")
    return arrays


def _numbers(key: str, value: Any) -> Tensor:
    array = value.values if isinstance(value, _Array) else value
    if isinstance(array, list | tuple) and all(isinstance(one, int | float) for one in array):
        array = np.array(array, dtype=np.float64)
    if isinstance(array, np.ndarray):
        array = torch.from_numpy(array.astype(np.float64))
    if not isinstance(array, Tensor):
        raise PickleError(f"it holds a {_kind(value)} for {key[:100]!r}, no array")
    if array.numel() > LARGEST:
        raise PickleError(
            f"it holds {array.numel():,} numbers for {key[:100]!r}; at most {LARGEST:,}"
        )
    return array.double()


def _kind(value: Any) -> str:
    return type(value).__name__.strip("_")


class _Dtype:
    """A number format."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        if code not in DTYPES:
            raise PickleError(f"it holds arrays of the type {str(code)[:20]!r}; allowed: numbers")
        self.dtype = np.dtype(code)

    def take_state(self, state: Any) -> None:
        """Take the order of the bytes."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise PickleError("it holds an array of an unknown type")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array of NumPy."""

    def __init__(self, *_: Any) -> None:
        self.values: Numbers | None = None

    def take_state(self, state: Any) -> None:
        """Take version, shape, type, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("it holds an array that is damaged")
        _, shape, dtype, columns, content = state
        self.values = _array(content, dtype, shape, "F" if columns is True else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Numbers:
    if isinstance(content, str):  # of Python 2
        content = content.encode("latin1")
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise PickleError("it holds an array that is damaged")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise PickleError("it holds an array that is damaged")
    if len(shape) > 8 or math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise PickleError(f"it holds an array of {len(content)} bytes that is not of its shape")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(*arguments: Any) -> Numbers:
    content, dtype, shape, *order = arguments
    return _array(content, dtype, shape, *order[:1])


def _scalar(*arguments: Any) -> float:
    dtype, content = arguments
    return float(_array(content, dtype, ()))


def _encoded(*arguments: Any) -> bytes:
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleError("it holds bytes in an unknown encoding")
    return text.encode("latin1")


def _storage(*arguments: Any) -> Numbers:
    """Return the numbers that `torch.save` wrote of a storage in its first format."""
    [content] = arguments
    if not isinstance(content, bytes | bytearray):
        raise PickleError("it holds a tensor that is damaged")
    file = io.BytesIO(content)
    for _ in range(HEADERS):
        read_pickle(file, {})
    described = read_pickle(file, dict.fromkeys(STORAGES, _unmade))
    read_pickle(file, {})  # its key again
    if not isinstance(described, tuple) or len(described) < 2 or described[1] not in STORAGES:
        raise PickleError("it holds a tensor of an unknown type")
    dtype = np.dtype(STORAGES[described[1]]).newbyteorder("<")
    count = int.from_bytes(file.read(8), "little")
    numbers = np.frombuffer(file.read(), dtype)
    if len(numbers) != count:
        raise PickleError(f"it holds a tensor of {len(numbers)} numbers instead of {count}")
    if described[1] == "torch.BFloat16Storage":
        return (numbers.astype("u4") << 16).view("f4")
    return numbers


def _unmade(*_: Any) -> None:
    raise PickleError("it holds a tensor that is damaged")


def _tensor(*arguments: Any) -> Tensor:
    numbers, offset, size, stride, *_ = arguments
    if not isinstance(numbers, np.ndarray):
        raise PickleError("it holds a tensor that is damaged")
    flat = torch.from_numpy(numbers.astype(np.float64))
    try:
        return flat.as_strided(size, stride, offset)
    except (RuntimeError, TypeError) as error:
        raise PickleError("it holds a tensor that is damaged") from error


def _ordered(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise PickleError("it holds a dictionary of an unknown kind")
    return {}


CONSTRUCTORS: Constructors = {
    **{
        f"numpy.{core}.{name}": make
        for core in ("core", "_core")
        for name, make in (
            ("multiarray._reconstruct", _Array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _storage,
}

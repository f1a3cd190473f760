"""TensorFlow's checkpoints of two files, without TensorFlow.

`PREFIX.index` is a table of LevelDB: blocks of sorted keys, each key stored as what it does not
share with the one before, and a footer that says where the block of blocks is. A value is a
protocol buffer (`BundleEntryProto`): type, shape, place and checksum of a tensor in
`PREFIX.data-00000-of-00001`.
"""

from collections.abc import Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
BLOCK_TRAILER = 5
"""One byte of compression, four of checksum."""
CASTAGNOLI = 0x82F63B78
MASK_DELTA = 0xA282EAD8
TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}
"""By TensorFlow's number."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields of a protocol buffer."""


class BundleEntry(NamedTuple):
    """Where a tensor lies."""

    type: int
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


def read_bundle(prefix: str | Path, *, leave_out: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, in TensorFlow's layout; checksums are compared.

    Args:
        prefix: What stands before `.index` and `.data-00000-of-00001`; a path that ends with a
            slash for files named just so.
        leave_out: Names that contain this are not read, such as an optimiser's.

    Raises:
        ValueError: naming the file: it is missing, damaged, or of a form that is not read here
            (compressed, in several data files, of big-endian or other numbers).
    """
    index, data = (Path(f"{prefix}{suffix}") for suffix in (".index", ".data-00000-of-00001"))
    raw, content = _bytes(index), memoryview(_bytes(data))
    try:
        entries = dict(_entries(raw))
    except (IndexError, ValueError) as error:
        raise ValueError(f"{index}: not the index of a TensorFlow checkpoint ({error})") from error
    header = dict(_fields(entries.pop("", b"")))
    if header.get(1) != 1 or header.get(2, 0) != 0:
        raise ValueError(f"{index}: only little-endian checkpoints with one data file can be read")
    tensors = {}
    for name, value in entries.items():
        if leave_out is None or leave_out not in name:
            tensors[name] = _tensor(content, _entry(value), f"{data}: {name}")
    return tensors


def masked_checksum(content: bytes | memoryview) -> int:
    """Return CRC-32C as TensorFlow stores it: rotated, and moved by a constant."""
    table, value = _table(), 0xFFFFFFFF
    for byte in bytes(content):
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + MASK_DELTA) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CASTAGNOLI if byte & 1 else 0)
        rows.append(byte)
    return tuple(rows)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _entries(raw: bytes) -> Iterator[tuple[str, bytes]]:
    footer = raw[-FOOTER:]
    if len(footer) < FOOTER or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("its last bytes are not those of a table")
    position = 0
    handle = []
    for _ in range(4):  # offset and size of the block of metadata, then of the index
        number, position = _varint(footer, position)
        handle.append(number)
    for _, place in _block(raw, handle[2], handle[3]):
        offset, position = _varint(place, 0)
        size, _ = _varint(place, position)
        for key, value in _block(raw, offset, size):
            yield key.decode(), value


def _block(raw: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + BLOCK_TRAILER > len(raw):
        raise ValueError("it is cut off")
    if raw[end] != 0:
        raise ValueError("its blocks are compressed")
    checksum = int.from_bytes(raw[end + 1 : end + BLOCK_TRAILER], "little")
    if masked_checksum(raw[offset : end + 1]) != checksum:
        raise ValueError("a checksum differs: the file is damaged")
    block = raw[offset:end]
    restarts = int.from_bytes(block[-4:], "little")
    stop, position, key = size - 4 * (restarts + 1), 0, b""
    while position < stop:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of the fields of a protocol buffer."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == BYTES:
            length, position = _varint(message, position)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        content = message[position : position + length]
        position += length
        yield number, content if kind == BYTES else int.from_bytes(content, "little")


def _entry(message: bytes) -> BundleEntry:
    # BundleEntryProto: dtype 1, shape 2, shard_id 3, offset 4, size 5, crc32c 6.
    fields = dict(_fields(message))
    dimensions = [value for number, value in _fields(_message(fields.get(2, b""))) if number == 2]
    sizes = [dict(_fields(_message(dimension))).get(1, 0) for dimension in dimensions]
    return BundleEntry(
        type=_number(fields.get(1, 0)),
        shape=tuple(_number(size) for size in sizes),
        offset=_number(fields.get(4, 0)),
        size=_number(fields.get(5, 0)),
        checksum=_number(fields.get(6, 0)),
    )


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"found the number {value} where a message stands")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError(f"found {len(value)} bytes where a number stands")
    return value


def _tensor(content: memoryview, entry: BundleEntry, where: str) -> Tensor:
    kind = TYPES.get(entry.type)
    if kind is None:
        raise ValueError(f"{where}: numbers of TensorFlow's type {entry.type} cannot be read")
    raw = content[entry.offset : entry.offset + entry.size]
    if len(raw) != entry.size or prod(entry.shape) * kind.itemsize != entry.size:
        raise ValueError(
            f"{where}: {len(raw)} bytes, where the index has {entry.size} and the shape "
            f"{list(entry.shape)}; the file is damaged"
        )
    if masked_checksum(raw) != entry.checksum:
        raise ValueError(f"{where}: its checksum differs: the file is damaged")
    return torch.from_numpy(np.frombuffer(raw, dtype=kind).reshape(entry.shape).copy())

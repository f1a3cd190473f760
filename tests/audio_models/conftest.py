"""TensorFlow checkpoints written by hand."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.musicnn.tensor_bundle import masked_checksum


@pytest.fixture
def write_bundle() -> Callable[[Path, dict[str, Tensor]], None]:
    return _write_bundle


def _write_bundle(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as TensorFlow does: two files, keys that share beginnings."""
    folder.mkdir(exist_ok=True)
    data = b""
    entries = {b"": b"\x08\x01"}  # num_shards 1
    for name, tensor in sorted(tensors.items()):
        raw = tensor.numpy().tobytes()
        sizes = b"".join(_message(2, b"\x08" + _varint(size)) for size in tensor.shape)
        kind = {torch.float32: 1, torch.int64: 9}[tensor.dtype]
        entries[name.encode()] = (
            b"\x08" + _varint(kind) + _message(2, sizes) + b"\x20" + _varint(len(data))
        ) + (b"\x28" + _varint(len(raw)) + b"\x35" + struct.pack("<I", masked_checksum(raw)))
        data += raw
    (folder / ".data-00000-of-00001").write_bytes(data)
    # Two blocks of entries, then the block of metadata and that of the index.
    names = list(entries)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    file, index = b"", {}
    for half in halves:
        place, file = _append(file, {name: entries[name] for name in half})
        index[half[-1]] = place
    metadata, file = _append(file, {})
    top, file = _append(file, index)
    footer = (metadata + top).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (folder / ".index").write_bytes(file + footer)


def _append(file: bytes, entries: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    block, before = b"", b""
    for key, value in entries.items():
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        numbers = (shared, len(key) - shared, len(value))
        block += b"".join(map(_varint, numbers)) + key[shared:] + value
        before = key
    block += struct.pack("<II", 0, 1)
    checksum = struct.pack("<I", masked_checksum(block + b"\0"))
    return _varint(len(file)) + _varint(len(block)), file + block + b"\0" + checksum


def _message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.musicnn.tensor_bundle import masked_checksum, read_bundle

Write = Callable[[Path, dict[str, Tensor]], None]


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"dense/bias": (3,), "dense/bias/Adam": (3,), "dense/kernel": (200, 3), "power": ()}
    found = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return found | {"step": torch.tensor([2**40, -1])}


def test_what_is_written_is_read(tmp_path: Path, write_bundle: Write) -> None:
    write_bundle(tmp_path, tensors())
    found = read_bundle(f"{tmp_path}/")
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    assert "dense/bias/Adam" not in read_bundle(f"{tmp_path}/", leave_out="Adam")


def test_the_checksum_is_that_of_its_standard() -> None:
    """CRC-32C of "123456789" is E3069283; TensorFlow rotates it by 15 and adds a constant."""
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_checksum(b"123456789") == masked


def test_damage_is_seen(tmp_path: Path, write_bundle: Write) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/.index: cannot be read (No such")):
        read_bundle(f"{tmp_path}/")
    write_bundle(tmp_path, tensors())
    index, data = tmp_path / ".index", tmp_path / ".data-00000-of-00001"
    whole_index, whole_data = index.read_bytes(), data.read_bytes()

    data.write_bytes(whole_data[:100] + b"!" + whole_data[101:])
    with pytest.raises(ValueError, match="dense/kernel: its checksum differs"):
        read_bundle(f"{tmp_path}/")
    data.write_bytes(whole_data[:100])
    with pytest.raises(ValueError, match="dense/kernel: 76 bytes, where the index has 2400"):
        read_bundle(f"{tmp_path}/")
    data.write_bytes(whole_data)

    index.write_bytes(whole_index[:8] + b"!" + whole_index[9:])
    with pytest.raises(ValueError, match=r"not the index of a TensorFlow checkpoint \(a check"):
        read_bundle(f"{tmp_path}/")
    index.write_bytes(whole_index[:-1])
    with pytest.raises(ValueError, match="its last bytes are not those of a table"):
        read_bundle(f"{tmp_path}/")

"""Damaged zip files are noticed by their checksums."""

import random
from pathlib import Path

import pytest
import torch

from stable_audio_open.files.archives.zips import CONTENTS, damaged_part


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.ckpt"
    torch.save({"a": torch.arange(500.0), "b": torch.arange(30)}, path)
    return path


def test_what_torch_writes_is_whole(path: Path) -> None:
    assert damaged_part(path) is None


def test_every_flipped_byte_of_a_tensor_is_found(path: Path) -> None:
    content = path.read_bytes()
    numbers = torch.arange(500.0).numpy().tobytes()
    start = content.index(numbers)
    for place in random.Random(0).sample(range(start, start + len(numbers)), 50):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert damaged_part(path) == "model/data/0"


def test_whatever_is_flipped_it_is_found_or_torch_refuses_the_file_or_nothing_is_changed(
    path: Path,
) -> None:
    content = path.read_bytes()
    for place in random.Random(0).sample(range(len(content)), 150):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if damaged_part(path) is not None:
            continue
        try:
            found = torch.load(path, weights_only=True)
        except RuntimeError:
            continue
        assert torch.equal(found["a"], torch.arange(500.0))
        assert torch.equal(found["b"], torch.arange(30))


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file"])
def test_another_file_has_no_contents(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert damaged_part(path) == CONTENTS


def test_a_file_that_is_cut_off_is_damaged(path: Path) -> None:
    content = path.read_bytes()
    for kept in (-1, -30, 1000, 40):
        path.write_bytes(content[:kept])
        assert damaged_part(path) is not None


def test_a_missing_file_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        damaged_part(tmp_path / "none")

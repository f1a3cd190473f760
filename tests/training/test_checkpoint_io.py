"""Checkpoints on a disk that is full."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.training.checkpoints.checkpoint_io import AtomicCheckpointIO
from tests.full_disk import full_disk

CONTENT = {"state_dict": {f"weight_{i}": torch.full((3000,), float(i)) for i in range(5)}}


@pytest.mark.parametrize("most", [0, 1, 100, 1000, 5000, 13_000, 30_000, 60_000])
@pytest.mark.parametrize("before", [True, False])
def test_a_full_disk_is_told_wherever_it_ends(tmp_path: Path, most: int, before: bool) -> None:
    path = tmp_path / "00000001.ckpt"
    if before:
        path.write_bytes(b"older")
    with full_disk(most), pytest.raises(OSError, match="could not be written") as caught:
        AtomicCheckpointIO().save_checkpoint(CONTENT, path)
    kept = "the older one is kept" if before else "older checkpoints are kept"
    assert caught.value.strerror == (
        f"the checkpoint could not be written (File too large); {kept}; make room and run the same "
        "command again to go on from there"
    )
    assert caught.value.filename == str(path)
    assert [file.name for file in tmp_path.iterdir()] == ([path.name] if before else [])
    if before:
        assert path.read_bytes() == b"older"


def test_an_error_in_the_middle_of_writing_is_that_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch closes its archive after the disk's error, and fails again for it."""

    def save(content: Any, file: Any) -> None:
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 960 vs 854")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match=re.escape("(No space left on device); older")):
        AtomicCheckpointIO().save_checkpoint(CONTENT, tmp_path / "00000001.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises((RuntimeError, AttributeError, TypeError)):
        AtomicCheckpointIO().save_checkpoint({"x": lambda: 0}, tmp_path / "00000001.ckpt")
    assert list(tmp_path.iterdir()) == []

"""Files are told apart by what is in them."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from stable_audio_open.files.hashes import file_hash


def test_a_file_and_a_member_of_a_tar(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 99)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path / "a", "inside/b")
    expected = hashlib.sha256(b"abc" * 99).hexdigest()
    assert file_hash(tmp_path / "a") == expected
    assert file_hash(tmp_path / "set.tar" / "inside" / "b") == expected
    whole = (tmp_path / "set.tar").read_bytes()
    assert file_hash(tmp_path / "set.tar") == hashlib.sha256(whole).hexdigest()
    with pytest.raises(FileNotFoundError):
        file_hash(tmp_path / "c")

import os
import shutil
from pathlib import Path

import pytest

from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.files.hashes import file_hash


def test_files_are_known_by_content_whatever_their_names(tmp_path: Path) -> None:
    first, link, copy, other = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav", "d.wav"))
    first.write_bytes(b"one")
    other.write_bytes(b"two")
    os.link(first, link)
    shutil.copy(first, copy)
    heard: list[tuple[str, int]] = []

    def hear(path: Path, seed: int) -> str:
        heard.append((path.name, seed))
        return f"{path.read_text()} {seed}"

    remembered = ResultCache().of(hear, "network")
    assert [remembered(path, 0) for path in (first, link, copy)] == ["one 0"] * 3
    assert (remembered(other, 0), remembered(first, 1)) == ("two 0", "one 1")
    first.write_bytes(b"changed")
    assert (remembered(first, 0), remembered(copy, 0)) == ("changed 0", "one 0")
    assert heard == [("a.wav", 0), ("d.wav", 0), ("a.wav", 1), ("a.wav", 0)]


def test_functions_are_told_apart_by_what_they_are_about(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    memory = ResultCache()
    assert memory.of(lambda path: 1, "net", 44100)(tmp_path / "a") == 1
    assert memory.of(lambda path: 2, "net", 48000)(tmp_path / "a") == 2
    assert memory.of(lambda path: 3, "net", 44100)(tmp_path / "a") == 1


def test_no_answer_is_remembered_too_but_no_failure(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    calls: list[Path] = []

    def nothing(path: Path) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise ValueError("damaged")

    remembered = ResultCache().of(nothing)
    with pytest.raises(ValueError, match="damaged"):
        remembered(tmp_path / "a")
    for _ in range(3):
        remembered(tmp_path / "a")
    assert len(calls) == 2


def test_the_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a").startswith("ba7816bf8f01cfea")

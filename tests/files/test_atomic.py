from pathlib import Path

import pytest

from stable_audio_open.files.atomic import replace_bytes, replace_together, written_beside
from tests.full_disk import full_disk


def test_the_new_content_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    replace_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError("full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half_a_file() -> None:
        with written_beside(path) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(type(failure)):
        half_a_file()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_belong_together_are_replaced_together(tmp_path: Path) -> None:
    sound, tags = tmp_path / "a.wav", tmp_path / "a.wav.json"
    replace_together({sound: b"1", tags: b"2"})
    assert (sound.read_bytes(), tags.read_bytes()) == (b"1", b"2")
    for large, small in ((sound, tags), (tags, sound)):
        with full_disk(100), pytest.raises(OSError, match=f"File too large: '{large}'"):
            replace_together({sound: b"3", tags: b"4", large: bytes(200)})
        assert small.exists()
        assert (sound.read_bytes(), tags.read_bytes()) == (b"1", b"2")
    assert sorted(tmp_path.iterdir()) == [sound, tags]


@pytest.mark.parametrize("name", ["x" * 255, "音" * 85, "\udcff" * 255])
def test_names_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    replace_bytes(tmp_path / name, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [name]

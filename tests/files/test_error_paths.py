"""Errors of the system name the file that the user knows."""

import errno
import os
from pathlib import Path

import pytest

from stable_audio_open.files.atomic import append_bytes, replace_bytes, written_beside
from stable_audio_open.files.error_paths import errors_named
from tests.full_disk import full_disk

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    "raised",
    [
        FULL,
        Exception("No space left on device (os error 28)"),  # tokenizers
        RuntimeError("Error while serializing: I/O error: No space left (os error 28)"),
        OSError(errno.ENOSPC, "No space left on device", "/data/.set-1/part"),
    ],
)
@pytest.mark.parametrize("reads", [True, False])
def test_what_names_no_file_or_one_on_the_way(raised: Exception, reads: bool) -> None:
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        errors_named("/data/set", inside=Path("/data/.set-1"), reads=reads),
    ):
        raise raised
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/data/set")


@pytest.mark.parametrize(
    "raised",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/recordings/a.wav"),
        OSError("a line of words"),
        ValueError("another"),
    ],
)
def test_what_is_told_already_stays(raised: Exception) -> None:
    with (
        pytest.raises(type(raised)) as caught,
        errors_named("/data/set", inside=Path("/data/.set-1")),
    ):
        raise raised
    assert caught.value is raised


def test_an_error_of_reading_is_not_that_of_what_is_written() -> None:
    with pytest.raises(OSError, match="output error") as caught, errors_named("/set", reads=True):
        raise BROKEN
    assert caught.value is BROKEN
    with pytest.raises(OSError, match="output error") as caught, errors_named("/set"):
        raise BROKEN
    assert caught.value.filename == "/set"


def test_writing_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"old\n")
    for write in (replace_bytes, append_bytes):
        with full_disk(10), pytest.raises(OSError, match="File too large") as caught:
            write(path, b"new" * 100)
        assert caught.value.filename == str(path)
        assert path.read_bytes() == b"old\n"
    missing = tmp_path / "missing" / "list"
    with pytest.raises(FileNotFoundError) as caught:
        replace_bytes(missing, b"x")
    assert caught.value.filename == str(missing)

    def fail() -> None:
        with written_beside(path) as temporary:
            temporary.touch()
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(temporary))

    with pytest.raises(OSError, match="File too large") as caught:
        fail()
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]

"""Folders that one process works in, and what a killed one leaves."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stable_audio_open.files.lock import (
    FolderInUseError,
    locked_folder,
    one_at_a_time,
    scratch_folder,
)

HOLD = """
import os, sys, time
from pathlib import Path
from stable_audio_open.files.lock import locked_folder, scratch_folder

with {call}:
    if os.fork() == 0:  # as data workers are
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
"""


def hold(call: str) -> tuple[subprocess.Popen[str], int]:
    """A process that holds a folder, and the number of its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(call=call)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_one_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    with locked_folder(folder, remedy="wait"):
        (folder / "log").touch()
        with (
            pytest.raises(FolderInUseError) as caught,
            locked_folder(folder, remedy="wait until it ends"),
        ):
            pass
        message = f"{folder}: another process works in this folder; wait until it ends"
        assert str(caught.value) == message
    with locked_folder(folder, remedy="wait"):
        pass
    assert [path.name for path in folder.iterdir()] == ["log"]


def test_nothing_is_left_where_nothing_was_done(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "runs" / "one", remedy="wait"):
        assert (tmp_path / "runs" / "one").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_ends_with_its_process_and_not_with_its_children(tmp_path: Path) -> None:
    process, child = hold(f"locked_folder(Path({str(tmp_path)!r}), remedy='wait')")
    try:
        with pytest.raises(FolderInUseError), locked_folder(tmp_path, remedy="wait"):
            pass
        kill(process)
        with locked_folder(tmp_path, remedy="wait"):
            os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, signal.SIGKILL)
        kill(process)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match="Not a directory") as caught,
        locked_folder(tmp_path / "file" / "run", remedy="wait"),
    ):
        pass
    assert caught.value.filename == str(tmp_path / "file" / "run")


def test_scratch_folders_are_removed_whatever_happens(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, "set") as folder:
            (folder / "half").touch()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_lives_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / ".set-old").mkdir()  # somebody else's
    process, child = hold(f"scratch_folder(Path({str(tmp_path)!r}), 'set')")
    try:
        [left] = (path for path in tmp_path.iterdir() if path.name != ".set-old")
        with scratch_folder(tmp_path, "set"):
            assert left.is_dir()
        assert caplog.messages == []
        kill(process)
        with scratch_folder(tmp_path, "set"):
            assert not left.exists()
        assert caplog.messages == [f"{left}: removed, it was left by a process that was killed"]
        assert [path.name for path in tmp_path.iterdir()] == [".set-old"]
    finally:
        os.kill(child, signal.SIGKILL)
        kill(process)


APPEND = """
import sys, time
from pathlib import Path
from stable_audio_open.files.lock import one_at_a_time

folder = Path(sys.argv[1])
for _ in range(20):
    with one_at_a_time(folder):
        number = len(list(folder.iterdir()))
        time.sleep(0.002)
        (folder / str(number)).open("x").close()
"""


def test_processes_take_turns_with_a_folder(tmp_path: Path) -> None:
    """None of them chooses a name that another one has chosen."""
    command = [sys.executable, "-c", APPEND, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(60))
    with one_at_a_time(tmp_path):
        pass


def test_where_there_are_no_locks_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", fails)
    with one_at_a_time(tmp_path):
        (tmp_path / "a").touch()
    assert not caplog.records
    with pytest.raises(NotADirectoryError), one_at_a_time(tmp_path / "a"):
        pass

"""Locks as Windows has them, on a stand-in for its module that locks by Unix's."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import errno, fcntl, os, sys, types
from pathlib import Path


def locking(descriptor, mode, count):
    assert (mode, count) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


import stable_audio_open.files  # by the rules of this system
import logging, pathlib, re, secrets, shutil, tempfile

sys.modules |= {"msvcrt": types.SimpleNamespace(locking=locking, LK_NBLCK=2), "fcntl": None}
sys.platform = os.name = "win32"
os.name = "nt"
for name in ("O_DIRECTORY", "O_CLOEXEC", "register_at_fork"):
    delattr(os, name)
from stable_audio_open.files.lock import (
    FolderInUseError, locked_folder, one_at_a_time, scratch_folder
)

folder = pathlib.PosixPath(sys.argv[1])
with locked_folder(folder / "runs", remedy="wait"):
    try:
        with locked_folder(folder / "runs", remedy="wait"):
            raise SystemExit("locked twice")
    except FolderInUseError as error:
        assert str(error).endswith("another process works in this folder; wait")
with locked_folder(folder / "runs", remedy="wait"), one_at_a_time(folder):
    with scratch_folder(folder, "new") as scratch:
        assert scratch.is_dir()
assert not list(folder.iterdir())
"""


def test_folders_are_locked(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_modules_of_unix_alone_are_not_needed() -> None:
    """Every module of the package is imported where they are missing."""
    code = (
        "import os, pkgutil, signal, sys\n"
        "import psutil, torch, transformers, pytorch_lightning, multiprocessing.util\n"
        "import stable_audio_open\n"
        "[sys.modules.pop(name, None) for name in [*sys.modules] if 'stable_audio_open.' in name]\n"
        "del signal.SIGUSR1, os.register_at_fork\n"
        "sys.modules['resource'] = None\n"
        "names = [one.name for one in pkgutil.walk_packages(stable_audio_open.__path__, "
        "'stable_audio_open.') if '.service' not in one.name]\n"
        "[__import__(name) for name in names if not name.endswith('__main__')]\n"
        "assert len(names) > 300"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr

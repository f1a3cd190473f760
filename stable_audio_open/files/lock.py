"""Folders that one process works in, by locks of the system, which end with it, however it ends.

Numbers of processes tell nothing of this: in containers every run may have the same.
"""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from stable_audio_open.files.system_locks import OPEN_DIRECTORY, OPEN_FILE, lock

logger = logging.getLogger(__name__)

LOCK = ".lock"
TOKEN = 8
"""Bytes by which the names of scratch folders differ."""

_held: set[int] = set()
"""Files that this process holds locks by."""


class FolderInUseError(ValueError):
    """Another process works in a folder; the message is one line and names it."""


@contextmanager
def locked_folder(folder: Path, *, remedy: str) -> Iterator[None]:
    """Make a folder, and keep other processes out of it meanwhile.

    What was made is removed in the end where nothing was put there.

    Args:
        folder: The folder; the lock is its file `.lock`.
        remedy: What to do where another process works in it.

    Raises:
        FolderInUseError: Another process does.
        OSError: The folder cannot be made or written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    try:
        held = _lock_file(file)
        if held is None:
            raise FolderInUseError(f"{folder}: another process works in this folder; {remedy}")
        try:
            yield
        finally:
            # While it is held, so that nobody's is removed.
            file.unlink(missing_ok=True)
            _close(held)
    finally:
        with suppress(OSError):  # of the first that is not empty
            for path in made:
                path.rmdir()


@contextmanager
def scratch_folder(beside: Path, name: str, *, mode: int = 0o777) -> Iterator[Path]:
    """Yield a new folder of this process alone, which is removed in the end.

    What a process of before left there that was killed is removed first.

    Args:
        beside: Folder in which it is made, which must be there.
        name: Beginning of its name, after a dot.
        mode: Who may use it, less what the process takes from everybody.

    Raises:
        OSError: It cannot be made.
    """
    ours = re.compile(rf"\.{re.escape(name)}-[0-9a-f]{{{2 * TOKEN}}}")
    for left in [path for path in beside.iterdir() if ours.fullmatch(path.name)]:
        try:
            descriptor = _lock_directory(left)
        except BlockingIOError:  # whose it is lives
            continue
        if descriptor is not None:
            shutil.rmtree(left, ignore_errors=True)
            _close(descriptor)
            logger.warning("%s: removed, it was left by a process that was killed", left)
    while True:
        folder = beside / f".{name}-{secrets.token_hex(TOKEN)}"
        folder.mkdir(mode)
        try:
            held = _lock_directory(folder)
        except BlockingIOError:  # another process has taken it for one that was left
            continue
        if held is not None or folder.exists():
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            _close(held)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is here with this folder, and keep them waiting meanwhile.

    For what takes a moment, such as to choose a free name and write the file. The folder itself is
    locked, so that nothing is left in it; where the file system cannot do that, nobody waits.

    Raises:
        OSError: The folder cannot be opened.
    """
    if os.name == "nt":  # which opens no directory
        yield
        return
    descriptor = os.open(folder, OPEN_DIRECTORY)
    _held.add(descriptor)
    try:
        with suppress(OSError):  # as of NFS, which locks what is open for writing alone
            lock(descriptor, wait=True)
        yield
    finally:
        _close(descriptor)


def wait_for_lock(descriptor: int, path: Path) -> None:
    """Lock an open file, after whoever holds it; closing it ends the lock.

    Where the file system has no locks, a warning says so once.
    """
    try:
        lock(descriptor, wait=True)
    except OSError as error:
        _warn_of_no_locks(path.parent, error.strerror)


def is_open_file(path: Path, descriptor: int) -> bool:
    """Return whether an open file is the one that lies at a path now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@cache
def _warn_of_no_locks(folder: Path, reason: str) -> None:
    logger.warning(
        "%s: this file system has no locks (%s); write to its files from one process at a time",
        folder,
        reason,
    )


def _lock_file(path: Path) -> int | None:
    """Return the open and locked file; None where another process holds it."""
    while True:
        descriptor = os.open(path, OPEN_FILE, 0o666)
        _held.add(descriptor)
        try:
            lock(descriptor, wait=False)
        except BlockingIOError:
            _close(descriptor)
            return None
        except OSError as error:
            logger.warning(
                "%s: this file system has no locks (%s); nothing keeps a second run out of the "
                "folder",
                path,
                error.strerror,
            )
            return descriptor
        # Who held it before may have removed it meanwhile.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        _close(descriptor)


def _lock_directory(path: Path) -> int | None:
    """Return the open and locked directory; None where that is not possible, or it is gone.

    Raises:
        BlockingIOError: Another process holds it.
    """
    try:
        descriptor = os.open(path, OPEN_DIRECTORY)
    except OSError:
        return None
    _held.add(descriptor)
    try:
        lock(descriptor, wait=False)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except BlockingIOError:
        _close(descriptor)
        raise
    except OSError:
        pass
    _close(descriptor)
    return None


def _close(descriptor: int) -> None:
    # A forked process has let go of it already.
    if descriptor in _held:
        _held.remove(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """Close them in a process that was forked: it would hold the locks when this one is killed."""
    for descriptor in [*_held]:
        _close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)

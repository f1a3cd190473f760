"""The system's locks of open files, on Unix and on Windows; closing a file ends its lock."""

import os
import sys
import time

POLL = 0.05
"""Seconds between two tries on Windows, whose own way of waiting gives up."""
PLACE = 2**31 - 2
"""The byte that is locked on Windows, the last that it can: nobody else could read it, so it is one
that the files do not have."""
OPEN_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a directory is opened to be locked; Windows refuses to."""
OPEN_FILE = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
"""How a file is opened to be locked, or made."""


def lock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file, on Unix a directory too, for this process alone.

    Args:
        descriptor: Of the file.
        wait: For whoever holds it.

    Raises:
        BlockingIOError: Another process holds it, and it is not waited for.
        OSError: The file system has no locks.
    """
    _lock(descriptor, wait)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, PLACE, os.SEEK_SET)
            while True:
                try:
                    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                except PermissionError as error:
                    if not wait:
                        raise BlockingIOError(error.errno, error.strerror) from error
                    time.sleep(POLL)
                else:
                    return
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

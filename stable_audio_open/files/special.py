"""What is no file although it has a path: reading it could wait for ever."""

import stat
from pathlib import Path

KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class SpecialFileError(ValueError):
    """A pipe, socket or device in the place of a file; the message is one line and names it."""


def refuse_special(path: Path) -> None:
    """Check that a path is not a named pipe, a socket or a device, without opening it.

    A path where nothing is passes: opening it says so.

    Raises:
        SpecialFileError: It is one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise SpecialFileError(
                f"{path}: is {name}, not a file; save what it gives into a file first"
            )


def refuse_special_inside(folder: Path, *, depth: int = 2) -> None:
    """Check a path and, where it is a folder, what lies in it.

    Args:
        folder: A folder or file.
        depth: Levels of folders that are looked into.

    Raises:
        SpecialFileError: Naming the first pipe, socket or device.
    """
    refuse_special(folder)
    if depth and folder.is_dir():
        for path in sorted(folder.iterdir()):
            refuse_special_inside(path, depth=depth - 1)

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
        SpecialFileError: It is one, or the path holds a NUL character.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    except ValueError as error:
        raise SpecialFileError(
            f"{str(path)!r}: holds a NUL character, as no path does; give another path"
        ) from error
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise SpecialFileError(
                f"{path}: is {name}, not a file; save what it gives into a file first"
            )


def refuse_special_inside(path: Path, *, suffixes: tuple[str, ...], depth: int = 2) -> None:
    """Check a path and, where it is a folder, the files of some kinds in it.

    Args:
        path: A folder or file.
        suffixes: Ends of the names that are checked in folders: those of what is read there.
        depth: Levels of folders that are looked into.

    Raises:
        SpecialFileError: Naming the first pipe, socket or device.
    """
    refuse_special(path)
    if not path.is_dir():
        return
    for inside in sorted(path.iterdir()):
        if inside.name.endswith(suffixes):
            refuse_special(inside)
        elif depth > 1 and inside.is_dir():
            refuse_special_inside(inside, suffixes=suffixes, depth=depth - 1)

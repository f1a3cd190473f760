"""What a child may not do: write outside of its folder, and start programs."""

import os
from pathlib import Path
from typing import Any, Literal

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
}
"""Events of Python: places of a path in what they tell, and of the folder it is relative to."""
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
STARTS = frozenset({*PROGRAMS, "subprocess.Popen", "pty.spawn", "socket.connect"})


class Guard:
    """An audit hook that refuses and notes writing outside of a folder, and programs.

    Files that libraries write without Python are seen by comparing folders, see `listing`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.found: tuple[Literal["outside", "started"], str] | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event; PermissionError stops what is not allowed."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITING:
                self._check(path, None, event)
        elif event in CHANGES:
            for place, relative in CHANGES[event]:
                if isinstance(arguments[place], str | bytes | os.PathLike):
                    base = None if relative is None else arguments[relative]
                    self._check(arguments[place], base, event)
        elif event in STARTS:
            self.found = self.found or ("started", f"{event} {arguments!r}"[:300])
            raise PermissionError(f"{event} is not allowed here")

    def _check(self, path: Any, base: int | None, event: str) -> None:
        name = os.fsdecode(path)
        if base is not None and base >= 0:
            name = str(Path(f"/proc/self/fd/{base}").readlink() / name)
        if name == os.devnull:
            return
        # The last part itself is changed, where it is a link.
        parent, last = os.path.split(os.path.abspath(name))  # noqa: PTH100, `..` is no link
        real = str(Path(os.path.realpath(parent), last))
        if event == "open":
            real = os.path.realpath(real)
        if real != self.folder and not real.startswith(self.folder + os.sep):
            self.found = self.found or ("outside", f"{event} {name!r}"[:300])
            raise PermissionError(f"{name}: outside of the folder of the case")


def listing(root: Path, *, besides: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of all files below a folder, but those of one in it."""
    found: dict[str, tuple[int, int]] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == besides:
            folders.clear()
            continue
        for name in files:
            status = Path(folder, name).lstat()
            found[str(Path(folder, name))] = (status.st_size, status.st_mtime_ns)
        if Path(folder) not in (besides.parent, *besides.parents):
            found[folder] = (0, 0)
    return found

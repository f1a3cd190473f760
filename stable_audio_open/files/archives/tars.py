"""Files inside tars, read where they lie: `FOLDER/SET.tar/KEY.flac` is a range of `SET.tar`.

A tar that is not compressed holds its files as they are. What lies where in it is read once in a
process; each file that is opened has a handle of its own, so that workers share none.
"""

import errno
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from stable_audio_open.files.inside import is_inside
from stable_audio_open.files.joined_parts import Span, spliced
from stable_audio_open.files.pipes_and_devices import refuse_special

BLOCK = 512

UNREADABLE = (tarfile.TarError, ValueError, LookupError, OverflowError, EOFError, OSError)
"""What the standard library raises for tars whose headers are damaged: places before the start,
sizes and extended headers (pax) that are no numbers or not of a length that they say."""


class ArchiveError(ValueError):
    """A tar, or a file in one, that cannot be used; the message is one line and names it."""


def tar_of(path: Path) -> Path | None:
    """Return the tar file that `path` leads into; None for a path of files and folders alone."""
    if ".tar" not in str(path):
        return None
    tars = (parent for parent in path.parents if parent.suffix == ".tar")
    return next((tar for tar in tars if tar.is_file()), None)


def members(tar: Path) -> Mapping[str, Span]:
    """Return the files of a tar by their names, in their order.

    Raises:
        ArchiveError: It is no tar, compressed, truncated or damaged.
        OSError: It cannot be opened.
    """
    status = tar.stat()
    state = (status.st_size, status.st_mtime_ns)
    known = _known.get(tar)
    if known is None or known[0] != state:
        known = _known[tar] = (state, _read_headers(tar))
    return known[1]


def find(path: Path) -> tuple[Path, Span] | None:
    """Return the tar that `path` leads into and where in it; None for a path outside of tars.

    Raises:
        ArchiveError: The tar cannot be read, or holds no such file.
        OSError: It cannot be opened.
    """
    tar = tar_of(path)
    if tar is None:
        return None
    span = members(tar).get(path.relative_to(tar).as_posix())
    if span is None:
        raise ArchiveError(
            f"{path}: the tar holds no such file; correct the name, or build or copy the tar again"
        )
    return tar, span


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a file, in a tar or not, for reading.

    Raises:
        ArchiveError: The tar cannot be read, or holds no such file.
        SpecialFileError: It is a pipe, a socket or a device.
        OSError: The file cannot be opened.
    """
    found = find(path)
    if found is None:
        refuse_special(path)
        return path.open("rb")
    tar, span = found
    return spliced(tar.open("rb", buffering=0), [span], closes=True)


def is_there(path: Path) -> bool:
    """Return whether there is such a file, in a tar or not.

    Raises:
        ArchiveError: The tar that it should be in cannot be read.
    """
    tar = tar_of(path)
    return path.is_file() if tar is None else path.relative_to(tar).as_posix() in members(tar)


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the bytes of a file, in a tar or not, and when it, or its tar, was changed, in ns.

    Raises:
        ArchiveError: The tar cannot be read, or holds no such file.
        OSError: There is no such file.
    """
    found = find(path)
    if found is None:
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    tar, span = found
    return span.size, tar.stat().st_mtime_ns


_known: dict[Path, tuple[tuple[int, int], dict[str, Span]]] = {}
"""Tars that were read, with size and time of change."""


def _read_headers(tar: Path) -> dict[str, Span]:
    again = "copy or build it again"
    with tar.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as headers:
                found = {
                    header.name.removeprefix("./"): Span(header.offset_data, header.size)
                    for header in headers
                    if header.isreg() and not header.issparse()
                }
                end = headers.offset
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # of a disk or network, which says nothing of the bytes
            if file.tell() > BLOCK:
                raise ArchiveError(f"{tar}: the tar is truncated ({error}); {again}") from error
            raise ArchiveError(f"{tar}: not an uncompressed tar ({error}); {again}") from error
        # tarfile takes any header that it cannot read, but the first, for the end.
        for name in found:
            if not is_inside(name):
                raise ArchiveError(
                    f"{tar}: holds {name!r}, a path that leads out of it; do not use this tar"
                )
        file.seek(end)
        if file.read(BLOCK) != bytes(BLOCK):
            raise ArchiveError(f"{tar}: the tar is truncated or damaged at byte {end}; {again}")
    return found

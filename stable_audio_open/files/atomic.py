"""Write beside, then rename: a file is either the old one or the whole new one; or append."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.lock import is_open_file, wait_for_lock

LONGEST = 200
"""Bytes of a name of which that of a temporary file is made: with what is added, file systems take
255."""


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it takes the place of `path` on success.

    On any failure, Ctrl-C included, the temporary file is removed and `path` is left as it was.

    Raises:
        OSError: Naming `path`, where it cannot be written.
    """
    name = os.fsdecode(os.fsencode(path.name)[:LONGEST])
    temporary = path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with errors_named(path, inside=temporary, reads=True):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_bytes(path: Path, content: bytes) -> None:
    """Make `content` the content of `path`, atomically; an OSError leaves the old file."""
    replace_together({path: content})


def replace_together(contents: Mapping[Path, bytes]) -> None:
    """Replace several files, of which none is before all are written; an OSError leaves the old.

    Args:
        contents: By path; the first one is renamed last.
    """
    with ExitStack() as renamed:
        for path, content in contents.items():
            temporary = renamed.enter_context(written_beside(path))
            with errors_named(path, inside=temporary), temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file, which is made where it is missing, all or nothing as far as the disk lets.

    Raises:
        OSError: Naming the file, which then is as it was, or not there.
    """
    with appending(path) as file:
        write_whole(file, content)


@contextmanager
def appending(path: Path) -> Iterator[FileIO]:
    """Open a file to append to, which no other process appends to meanwhile.

    An error, Ctrl-C included, leaves it as long as it was, and removes a file that was made. Other
    processes that append wait until this one is done.

    Raises:
        OSError: Naming the file.
    """
    with errors_named(path), _opened_alone(path) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            yield file
            os.fsync(file.fileno())
        except BaseException:
            if start:
                file.truncate(start)
            else:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _opened_alone(path: Path) -> Iterator[FileIO]:
    while True:
        with path.open("a+b", buffering=0) as file:
            wait_for_lock(file.fileno(), path)
            # Who held it before may have removed or replaced it meanwhile.
            if is_open_file(path, file.fileno()):
                yield file
                return


def write_whole(file: FileIO, content: bytes) -> None:
    """Write all bytes to a file without a buffer, which may take a part of them at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]

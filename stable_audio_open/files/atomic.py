"""Write beside, then rename: a file is either the old one or the whole new one; or append."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stable_audio_open.files.named import errors_named


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it takes the place of `path` on success.

    On any failure, Ctrl-C included, the temporary file is removed and `path` is left as it was.

    Raises:
        OSError: Naming `path`, where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with errors_named(path, inside=temporary, reads=True):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_bytes(path: Path, content: bytes) -> None:
    """Make `content` the content of `path`, atomically; an OSError leaves the old file."""
    with (
        written_beside(path) as temporary,
        errors_named(path, inside=temporary),
        temporary.open("xb") as file,
    ):
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file, which is made where it is missing, all or nothing as far as the disk lets.

    Raises:
        OSError: Naming the file, which then is as long as before.
    """
    with errors_named(path), path.open("ab", buffering=0) as file:
        start = file.tell()
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(start)
            raise

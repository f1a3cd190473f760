"""Errors of the operating system that name the file."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors that no reading gives."""
_OF_RUST = re.compile(r"\(os error (\d+)\)$")
"""End of the words of safetensors and tokenizers, whose errors are of no class in particular."""


@contextmanager
def errors_named(
    path: str | os.PathLike[str], *, inside: Path | None = None, reads: bool = False
) -> Iterator[None]:
    """Let an error of the system name a path where it names none: writing to a full disk does not.

    Args:
        path: The file or folder, as the user knows it.
        inside: Where it is written meanwhile; errors that name something of it name `path`.
        reads: Other files are read meanwhile: an error that names no file is this one's only where
            reading gives none such.

    Raises:
        OSError: With the path.
    """
    try:
        yield
    except OSError as error:
        # Without a number it is none of the operating system's, but a line of words.
        if error.errno is None:
            raise
        unnamed = error.filename is None and (not reads or error.errno in OF_WRITING)
        if not unnamed and not _is_below(error.filename, inside):
            raise
        raise _named(path, error.errno) from error
    except Exception as error:
        found = _OF_RUST.search(str(error))
        if found is None or (reads and int(found[1]) not in OF_WRITING):
            raise
        raise _named(path, int(found[1])) from error


def _named(path: str | os.PathLike[str], number: int) -> OSError:
    return OSError(number, os.strerror(number), os.fspath(path))


def _is_below(name: object, folder: Path | None) -> bool:
    return (
        folder is not None
        and isinstance(name, str | os.PathLike)
        and Path(name).is_relative_to(folder)
    )

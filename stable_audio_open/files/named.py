"""Errors of the operating system that name the file."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OF_RUST = re.compile(r"\(os error (\d+)\)$")
"""End of the words of safetensors and tokenizers, whose errors are of no class in particular."""


@contextmanager
def errors_named(path: str | os.PathLike[str], *, inside: Path | None = None) -> Iterator[None]:
    """Let an error of the system name a path where it names none: writing to a full disk does not.

    Args:
        path: The file or folder, as the user knows it.
        inside: Where it is written meanwhile; errors that name something of it name `path`.

    Raises:
        OSError: With the path.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        ours = named is None or (inside is not None and _is_below(named, inside))
        # Without a number it is none of the operating system's, but a line of words.
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
    except Exception as error:
        number = _OF_RUST.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), os.fspath(path)) from error


def _is_below(name: object, folder: Path) -> bool:
    return isinstance(name, str | os.PathLike) and Path(name).is_relative_to(folder)

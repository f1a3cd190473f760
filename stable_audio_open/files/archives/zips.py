"""Zip files, which hold a checksum of each of their parts: so do the files of `torch.save`."""

import errno
import struct
import zipfile
import zlib
from pathlib import Path

CONTENTS = "its table of contents"

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)
"""What the standard library raises for zip files that are damaged."""


def damaged_part(path: Path) -> str | None:
    """Name the first part whose bytes are not those that were written; None for a whole file.

    Compared are CRC-32 sums, which miss one damage in four billion; the file is read once (1 GB a
    second on one core).

    Raises:
        OSError: It cannot be read, which says nothing of its bytes.
    """
    path.stat()
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip()
    except _UNREADABLE:
        return CONTENTS
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a place before the beginning
            return CONTENTS
        raise

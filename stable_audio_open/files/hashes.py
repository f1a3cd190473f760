"""Files by what is in them."""

import hashlib
from pathlib import Path

from stable_audio_open.files.archives.tars import open_bytes


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in a tar or not, in hexadecimal digits.

    Raises:
        ArchiveError: The tar cannot be read, or holds no such file.
        OSError: The file cannot be read.
    """
    with open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What tells checkpoints of the same name apart."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from stable_audio_open.files.hashes import file_hash


def checkpoint_hash(paths: Iterable[Path]) -> str:
    """Return twelve hexadecimal digits: of the SHA-256 of one file, or of those of several."""
    hashes = [file_hash(path) for path in paths]
    if len(hashes) == 1:
        return hashes[0][:12]
    return hashlib.sha256(bytes.fromhex("".join(hashes))).hexdigest()[:12]

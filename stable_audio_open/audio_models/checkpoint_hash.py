"""What tells checkpoints of the same name apart."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def checkpoint_hash(paths: Iterable[Path]) -> str:
    """Return twelve hexadecimal digits: of the SHA-256 of one file, or of those of several."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    whole = digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()
    return whole.hex()[:12]

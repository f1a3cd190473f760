"""Names of files that are made of text, and that are not taken."""

import os
from collections.abc import Callable
from pathlib import Path

CHARACTERS, BYTES = 60, 180
"""The most of a name that is text: file systems take 255 bytes, and endings need some of them."""


def shortened_name(text: str, most: int = BYTES) -> str:
    """Return the beginning of a text that is short enough for a part of a file's name.

    At most 60 characters and `most` bytes of UTF-8 (180 or fewer), of which no character is cut in
    two.
    """
    most = min(most, BYTES)
    return text[:CHARACTERS].encode(errors="ignore")[:most].decode(errors="ignore")


def stem_for_names(path: Path) -> str:
    """Return the stem of a file for names of files that are made from it, at most 180 bytes."""
    return os.fsencode(path.stem)[:BYTES].decode(errors="ignore") or "sound"


def is_taken(path: Path) -> bool:
    """Return whether anything is at a path, a link to nowhere included."""
    return path.exists() or path.is_symlink()


def free_path(path: Path, taken: Callable[[Path], bool] = is_taken) -> Path:
    """Return a path that is not taken: itself, or with `_2`, `_3` and so on before its suffix."""
    number, free = 1, path
    while taken(free):
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return free

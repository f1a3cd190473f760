"""Names of files that are made of text, and that are not taken."""

from pathlib import Path

CHARACTERS, BYTES = 60, 180
"""The most of a name that is text: file systems take 255 bytes, and endings need some of them."""


def shortened_name(text: str) -> str:
    """Return the beginning of a text that is short enough for a part of a file's name.

    At most 60 characters and 180 bytes of UTF-8, of which no character is cut in two.
    """
    return text[:CHARACTERS].encode(errors="ignore")[:BYTES].decode(errors="ignore")


def free_path(path: Path) -> Path:
    """Return a path where nothing is: itself, or with `_2`, `_3` and so on before its suffix."""
    number, free = 1, path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return free

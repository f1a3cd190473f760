"""Names with accents, which one system writes in one piece (NFC) and another in two (NFD)."""

import unicodedata
from functools import lru_cache
from pathlib import Path, PurePosixPath


def composed(name: str) -> str:
    """Return the form of a name in which those that look the same are the same (NFC)."""
    return unicodedata.normalize("NFC", name)


def as_on_disk(folder: Path, file: str) -> str:
    """Return a path relative to a folder in the form that its names have there.

    Where there is no such file in either form, it is returned as it is. A name that is there as it
    is given counts before one that only looks the same.

    Args:
        folder: Where the path starts.
        file: With forward slashes.
    """
    if file.isascii() or (folder / file).exists():
        return file
    place, found = folder, []
    for part in PurePosixPath(file).parts:
        name = part if (place / part).exists() else _names(place).get(composed(part))
        if name is None:
            return file
        found.append(name)
        place /= name
    return "/".join(found)


def _names(folder: Path) -> dict[str, str]:
    try:
        return _listed(folder.absolute(), folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=256)
def _listed(folder: Path, changed: int) -> dict[str, str]:
    """Return the names in a folder by their composed forms, which are read once."""
    del changed
    return {composed(path.name): path.name for path in sorted(folder.iterdir(), reverse=True)}

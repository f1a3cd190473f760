"""Paths that were read from a file, and where they lead."""

from pathlib import PurePosixPath


def is_inside(file: str) -> bool:
    """Say whether a path, joined to a folder, names something inside of it.

    Args:
        file: With forward slashes, as manifests, indices and tars write it.
    """
    path = PurePosixPath(file)
    return (
        bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in file
    )


def is_name(file: str) -> bool:
    """Say whether a path is the plain name of a file, without any folder."""
    return is_inside(file) and PurePosixPath(file).name == file

"""Which files of a folder are audio, links and loops included."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")


def audio_files(root: Path) -> Iterator[Path]:
    """Yield all files below `root` that are named as audio, in the order of their names.

    Linked folders are followed, after the others; each folder is read once, so that loops end.

    Raises:
        OSError: `root` is not a folder, or one below cannot be read.
    """
    own, linked = deque([root]), deque[Path]()
    seen: set[tuple[int, int]] = set()
    while own or linked:
        folder = own.popleft() if own else linked.popleft()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.is_dir():
                (linked if entry.is_symlink() else own).append(Path(entry.path))
            elif entry.name.lower().endswith(SUFFIXES):
                yield Path(entry.path)


def files_by_number(root: Path) -> dict[int, str]:
    """Return the audio files below `root` whose names start with a number, by that number.

    Args:
        root: Folder of the recordings. `123.wav`, `000/000123.mp3` and `123__author__name.wav` are
            number 123; of several the first by name counts.
    """
    files: dict[int, str] = {}
    for path in audio_files(root):
        digits = path.stem.partition("__")[0]
        if digits.isascii() and digits.isdecimal():
            files.setdefault(int(digits), path.relative_to(root).as_posix())
    return files

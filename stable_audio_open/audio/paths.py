"""Which files of a folder are audio, links and loops included."""

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

SUFFIXES = (
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64"),
    *(".snd", ".w64", ".wav"),
)
"""Ends of the names of files that `read_audio` reads."""
COMPANIONS = (".json", ".jsonl", ".csv", ".html", ".tar")
"""Ends of the names of what this library reads or writes beside recordings."""
SHOWN = 8
"""Kinds of other files that are named."""
FORKS = "._"
"""Start of the names that macOS gives to what other systems cannot keep of a file."""


def audio_files(
    root: Path, *, loops: list[Path] | None = None, tell: bool = True
) -> Iterator[Path]:
    """Yield all files below `root` that are named as audio, in the order of their names.

    Linked folders are followed, after the others; each folder is read once, so that loops end. A
    warning at the end says how many files of which other kinds were left out.

    Args:
        root: The folder.
        loops: Gets the links that lead to a folder above them, or to themselves under a name that
            is not of audio.
        tell: Say what was left out.

    Raises:
        OSError: `root` is not a folder, or one below cannot be read.
    """
    loops = [] if loops is None else loops
    left_out = Counter[str]()
    own, linked = deque([root]), deque[Path]()
    seen: set[tuple[int, int]] = set()
    while own or linked:
        folder = own.popleft() if own else linked.popleft()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            if _leads_back(folder, root):
                loops.append(folder)
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            path = Path(entry.path)
            is_audio = is_named_as_audio(entry.name)
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link to itself
                if not is_audio:
                    loops.append(path)
                is_folder = False
            if is_folder:
                (linked if entry.is_symlink() else own).append(path)
            elif is_audio:
                yield path
            elif not entry.name.startswith(".") and path.suffix.lower() not in COMPANIONS:
                left_out[path.suffix.lower() or "without a suffix"] += 1
            elif entry.name.startswith(FORKS):
                left_out[f"{FORKS}* of macOS"] += 1
    if left_out and tell:
        kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(SHOWN))
        more = left_out.total() - sum(count for _, count in left_out.most_common(SHOWN))
        others = f" and {more} of other kinds" if more else ""
        allowed = ", ".join(SUFFIXES)
        logger.warning("%s: left out %s%s; recordings are %s", root, kinds, others, allowed)


def is_named_as_audio(name: str) -> bool:
    """Return whether the name of a file is that of a recording."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(FORKS)


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


def _leads_back(folder: Path, root: Path) -> bool:
    """True for a link to a folder on the way to it."""
    way = [root, *(root / part for part in folder.relative_to(root).parents)]
    return any(folder.samefile(above) for above in way)

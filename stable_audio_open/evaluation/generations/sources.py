"""Which recording each file was made from, so that another one is not mistaken for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from stable_audio_open.evaluation.generations.sets import Item
from stable_audio_open.files.atomic import replace_bytes

SOURCES = "sources.json"


class Source(msgspec.Struct, frozen=True):
    """A recording as it was when a file was made from it."""

    path: str
    size: int
    """Bytes."""
    modified: int
    """Nanoseconds."""
    how: str = ""
    """What else the file depends on."""


def follow_sources(
    folder: Path, items: Sequence[Item], sources: Mapping[str, Path], *, how: str = ""
) -> None:
    """Remove files that were made otherwise, and note the recordings that will be used.

    Args:
        folder: Of the files; its `sources.json` remembers.
        items: That will be made where they are missing.
        sources: Recording of each clip.
        how: What is made of them, in words.

    Raises:
        OSError: A recording is gone.
        ValueError: The record cannot be read.
    """
    path = folder / SOURCES
    known: dict[str, Source] = {}
    if path.is_file():
        try:
            known = msgspec.json.decode(path.read_bytes(), type=dict[str, Source])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}: not a record of sources ({error}); delete the folder to make it again"
            ) from error
    for item in items:
        source = sources[item.clip].resolve()
        status = source.stat()
        now = Source(str(source), status.st_size, status.st_mtime_ns, how)
        if known.get(item.id) != now:
            (folder / item.file).unlink(missing_ok=True)
            known[item.id] = now
    replace_bytes(path, msgspec.json.format(msgspec.json.encode(known)) + b"\n")

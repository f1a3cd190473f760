"""Which recording each file was made from, so that another one is not mistaken for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from stable_audio_open.evaluation.generations.folder import remove_others
from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import NOT_JSON

SOURCES = "sources.json"


class Source(msgspec.Struct, frozen=True):
    """A recording as it was when a file was made from it."""

    path: str
    """Where it lay, links resolved."""
    size: int
    """Its size in bytes."""
    modified: int
    """Time of its last change, in nanoseconds."""
    how: str = ""
    """What else the file depends on."""


def follow_sources(
    folder: Path, files: Sequence[SetFile], sources: Mapping[str, Path], *, how: str = ""
) -> None:
    """Remove files that were made otherwise, and note the recordings that will be used.

    Args:
        folder: Folder of the files; its `sources.json` remembers.
        files: What will be made where it is missing.
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
        except NOT_JSON as error:
            raise ValueError(
                f"{path}: not a record of sources ({error}); delete the folder to make it again"
            ) from error
    now = {one.id: _source(sources[one.clip], how) for one in files}
    remove_others(
        folder,
        {one.file: now[one.id] for one in files},
        {one.file: known.get(one.id) for one in files},
    )
    replace_bytes(path, msgspec.json.format(msgspec.json.encode(known | now)) + b"\n")


def _source(path: Path, how: str) -> Source:
    resolved = path.resolve()
    status = resolved.stat()
    return Source(str(resolved), status.st_size, status.st_mtime_ns, how)

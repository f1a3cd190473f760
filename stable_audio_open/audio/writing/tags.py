"""How a sound was made, carried by its file: a line of ASCII JSON in its tags, or a file beside it.

libsndfile loses comments of WAV files from about 2 kB on, and returns those of MP3 files wrongly
where they are not ASCII; what is longer than `LONGEST` therefore goes into `FILE.json`, and the
comment holds that file's hash.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import soundfile

from stable_audio_open.files.names import is_taken
from stable_audio_open.files.pipes_and_devices import refuse_special

Tags: TypeAlias = Mapping[str, object]
"""Names and values of JSON; `MARK` is among the names."""

MARK = "stable_audio_open"
"""The name that tells our tags from others; its value is the version."""
BESIDE = "beside"
"""The name, in a comment, of the hash of the file beside."""
LONGEST = 1900
"""Bytes of a comment."""
MOST_BYTES = 1 << 24
"""Bytes of a file beside that are read at most."""


class TagError(ValueError):
    """Tags that are missing or cannot be used; the message is one line and names the file."""


class Written(NamedTuple):
    """Tags as they are written."""

    comment: str
    """For the file; empty where there are no tags."""
    beside: bytes | None
    """For the file beside it; None where there is none."""


def tags_beside(path: Path) -> Path:
    """Return the file beside `path` that holds its tags where they are long."""
    return path.with_name(f"{path.name}.json")


def write_out(tags: Tags) -> Written:
    """Return tags as text, which is ASCII whatever they hold.

    Raises:
        ValueError: `MARK` is missing, or a value is none of JSON.
    """
    if not tags:
        return Written("", None)
    if MARK not in tags:
        raise ValueError(f"tags need the name {MARK!r}, got {', '.join(tags)}")
    text = json.dumps(tags, separators=(",", ":"), allow_nan=False)
    if len(text) <= LONGEST:
        return Written(text, None)
    content = json.dumps(tags, indent=1, allow_nan=False).encode() + b"\n"
    digest = hashlib.sha256(content).hexdigest()
    return Written(json.dumps({MARK: tags[MARK], BESIDE: digest}), content)


def check_beside(path: Path) -> None:
    """Check that `FILE.json` may be written: it is not there, or it is ours.

    Raises:
        TagError: It belongs to somebody else.
    """
    if is_beside_of_others(path):
        raise TagError(
            f"{tags_beside(path)}: stands where tags of {path.name} go that are too long for the "
            "file itself, and holds none of stable-audio-open; move it, or save without tags"
        )


def is_beside_of_others(path: Path) -> bool:
    """Return whether somebody else's file stands where the tags of a sound may have to."""
    beside = tags_beside(path)
    return is_taken(beside) and not _is_ours(beside)


def is_sound_there(path: Path) -> bool:
    """Return whether a sound is at a path, or the tags of one that was there."""
    return is_taken(path) or is_taken(tags_beside(path))


def remove_beside(path: Path) -> None:
    """Remove the tags beside a file that has been replaced by one without; other files stay."""
    beside = tags_beside(path)
    if _is_ours(beside):
        beside.unlink(missing_ok=True)


def read_tags(path: str | Path) -> dict[str, object]:
    """Return how a sound was made, as its file or the one beside it tells.

    Raises:
        TagError: There are no such tags, or those beside belong to another file.
        OSError: The file cannot be read.
    """
    path = Path(path)
    tags = _decoded(_comment(path))
    if tags is None:
        raise TagError(
            f"{path}: its tags do not say how it was made; stable-audio-open writes that into WAV, "
            "FLAC, Ogg and MP3 files unless --no-tags is given, and other programs may drop it"
        )
    digest = tags.get(BESIDE)
    if digest is None:
        return tags
    beside = tags_beside(path)
    if not beside.is_file():
        raise TagError(f"{path}: its tags are in {beside}, which is missing; put it there again")
    content = _head(beside)
    found = _decoded(content)
    if found is None or hashlib.sha256(content).hexdigest() != digest:
        raise TagError(
            f"{beside}: holds the tags of another file than {path.name}, or was changed; put back "
            "what was saved with it"
        )
    return found


def _comment(path: Path) -> str:
    """Return the comment of a file; empty where it is no sound."""
    refuse_special(path)
    with path.open("rb") as file:
        try:
            # By its number: a name in .raw stands for samples alone.
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                return str(sound.comment)
        except soundfile.LibsndfileError:
            return ""


def _decoded(text: str | bytes) -> dict[str, object] | None:
    """Return the names and values, or None where the text is not of our making."""
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tags if isinstance(tags, dict) and MARK in tags else None


def _is_ours(beside: Path) -> bool:
    return beside.is_file() and _decoded(_head(beside)) is not None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)

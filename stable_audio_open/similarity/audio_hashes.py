"""Recordings identified by what they decode to, whatever their container."""

import hashlib
import logging
import struct
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from stable_audio_open.audio.files import AudioFileError, audio_blocks
from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.files.archives.tars import ArchiveError, size_and_time
from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.json_lines import NOT_JSON

HASHES = "hashes.jsonl"

logger = logging.getLogger(__name__)


def audio_hash(path: Path) -> str:
    """Return the SHA-256 of a recording's samples in 16 bits, read in blocks.

    Hashed are: `pcm16 RATE CHANNELS` and a line feed in ASCII; the samples, frame by frame, each
    times 32768, rounded to the nearest (half to even) and clipped to 16 bits, as little-endian
    integers; the number of frames as a little-endian integer of 64 bits. The same samples in WAV
    (16 bits or float) and FLAC have the same hash. More than 16 bits differ only where they
    round differently; lossy copies never agree.

    Raises:
        AudioFileError: When the file cannot be read to its end.
    """
    digest = hashlib.sha256()
    frames = 0
    for block in audio_blocks(path):
        if not frames:
            digest.update(f"pcm16 {block.sample_rate} {block.channels}\n".encode("ascii"))
        integers = (block.samples[0].double() * 32768).round().clamp(-32768, 32767)
        digest.update(integers.T.contiguous().numpy().astype("<i2").tobytes())
        frames += block.samples.shape[-1]
    digest.update(struct.pack("<Q", frames))
    return digest.hexdigest()


class HashedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list of known hashes: it counts while size and time of the file stay."""

    file: str
    """Relative to the folder of the recordings."""
    size: int
    """Bytes."""
    modified: int
    """Nanoseconds."""
    hash: str
    """Hash of the audio."""


def hash_files(
    files: Iterable[str], audio: Path, folder: Path, *, engine: Engine | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hash of each file, and why each other file has none.

    Each hash is appended to `folder/hashes.jsonl` at once, so that an interrupted run goes on where
    it stopped. A line that was cut off is ignored.

    Args:
        files: Relative to `audio`.
        audio: Folder of the recordings.
        folder: Folder of the list.
        engine: What decodes and hashes; this process when None.
    """
    path = folder / HASHES
    known, names = _read(path), list(dict.fromkeys(files))
    unusable: dict[str, str] = {}
    unknown: list[_File] = []
    for name in names:
        try:
            size, modified = size_and_time(audio / name)
        except FileNotFoundError:
            unusable[name] = "no such file"
            continue
        except ArchiveError as error:
            unusable[name] = str(error)
            continue
        line = known.get(name)
        if line is None or (line.size, line.modified) != (size, modified):
            unknown.append(_File(name, size, modified))
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as list_:
        if list_.tell():
            list_.write(b"\n")  # after a line that was cut off
        stage = Stage("hashes", partial(_hasher, audio))
        for file, made in zip(unknown, (engine or Serial()).map(stage, unknown), strict=True):
            if isinstance(made, str):
                unusable[file.name] = made
                continue
            known[file.name] = made
            with errors_named(path):
                list_.write(msgspec.json.encode(made) + b"\n")
                list_.flush()
    for name in names:
        if name in unusable:
            logger.warning("recording left out: %s", unusable[name])
    found = {name: known[name].hash for name in names if name not in unusable}
    return found, {name: unusable[name] for name in names if name in unusable}


class _File(NamedTuple):
    """A file to hash, and its state when it was looked at."""

    name: str
    size: int
    modified: int


def _hasher(audio: Path) -> Callable[[_File], HashedFile | str]:
    """Return what hashes a file, or says why it cannot."""

    def line(file: _File) -> HashedFile | str:
        try:
            value = audio_hash(audio / file.name)
        except AudioFileError as error:
            return str(error)
        return HashedFile(file=file.name, size=file.size, modified=file.modified, hash=value)

    return line


def _read(path: Path) -> dict[str, HashedFile]:
    known: dict[str, HashedFile] = {}
    decoder = msgspec.json.Decoder(HashedFile)
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found = decoder.decode(line)
        except NOT_JSON:
            continue
        known[found.file] = found
    return known

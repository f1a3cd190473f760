"""Recordings told apart by what they sound like when decoded, whatever their container."""

import hashlib
import logging
import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec

from stable_audio_open.audio.files import AudioFileError, audio_blocks

HASHES = "hashes.jsonl"

logger = logging.getLogger(__name__)


def audio_hash(path: Path) -> str:
    """Return the SHA-256 of a recording's samples in 16 bits, read in blocks.

    Hashed are: `pcm16 RATE CHANNELS` and a line feed in ASCII; the samples, frame by frame, each
    times 32768, rounded to the nearest (half to even) and clipped to 16 bits, as little-endian
    integers; the number of frames as a little-endian integer of 64 bits. The same samples in WAV
    (16 bits or float) and FLAC have the same hash. More than 16 bits are told apart only where they
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
    """Of the audio."""


def hash_files(
    files: Iterable[str], audio: Path, folder: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hash of each file, and why each other file has none.

    Each hash is appended to `folder/hashes.jsonl` at once, so that an interrupted run goes on where
    it stopped. A line that was cut off is ignored.

    Args:
        files: Relative to `audio`.
        audio: Folder of the recordings.
        folder: Of the list.
    """
    path = folder / HASHES
    known = _read(path)
    found: dict[str, str] = {}
    unusable: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as list_:
        if list_.tell():
            list_.write(b"\n")  # after a line that was cut off
        for name in files:
            try:
                stat = (audio / name).stat()
                size, modified = stat.st_size, stat.st_mtime_ns
                line = known.get(name)
                if line is None or (line.size, line.modified) != (size, modified):
                    value = audio_hash(audio / name)
                    line = HashedFile(file=name, size=size, modified=modified, hash=value)
                    list_.write(msgspec.json.encode(line) + b"\n")
                    list_.flush()
            except (AudioFileError, FileNotFoundError) as error:
                reason = str(error) if isinstance(error, AudioFileError) else "no such file"
                unusable[name] = reason
                logger.warning("recording left out: %s", reason)
                continue
            found[name] = line.hash
    return found, unusable


def _read(path: Path) -> dict[str, HashedFile]:
    known: dict[str, HashedFile] = {}
    decoder = msgspec.json.Decoder(HashedFile)
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found = decoder.decode(line)
        except msgspec.DecodeError:
            continue
        known[found.file] = found
    return known

"""FLAC: what its last frame says, since a header may tell another length, or none.

An encoder that writes to a pipe leaves the number of samples open, and libsndfile stops at a number
that is too small.
"""

import re
import struct
from functools import cache
from io import BufferedReader

import soundfile

from stable_audio_open.audio.containers.layout import AS_IT_IS, TRUNCATED, Layout
from stable_audio_open.audio.containers.mpeg import read_at
from stable_audio_open.files.joined_parts import Span, spliced

HEAD = 26
"""Bytes up to the number of samples."""
TOTAL = 18
"""Place of eight bytes, of which the last 36 bits are the number of samples."""
BITS = 36
TAIL = 1 << 17
"""Bytes at the end, in which the last frame begins."""
SYNC = re.compile(rb"\xff[\xf8\xf9]")
MOST_HEADERS = 16
"""Right headers of wrong frames that are looked at; chance makes one in a hundred files."""
BLOCK = 1 << 18
ID3V1, APE = 128, 32
"""Bytes of a tag, and of the foot of one."""
MOST_TAGS = 8
NEVER_WRITTEN = (
    "the file is damaged: its length was never written, and it cannot be decoded to the end; "
    "download or export it again"
)


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is not typed
    """A file in which soundfile seeks only when told: not around each reading, as it would."""

    def seekable(self) -> bool:
        """Return False; `seek` goes on working where libsndfile can."""
        return False


def flac_layout(file: BufferedReader, size: int, *, start: int = 0) -> Layout:
    """Compare the number of samples with the end of the last frame, or count where it is open.

    Args:
        file: The file.
        size: Its bytes.
        start: Where the FLAC begins, behind tags of another kind.
    """
    file.seek(start)
    head = file.read(HEAD)
    if len(head) < HEAD:
        return Layout(TRUNCATED)
    field = int.from_bytes(head[TOTAL:], "big")
    total = field % (1 << BITS)
    sound_end = _before_tags(file, start, size)
    first = max(start, sound_end - TAIL)
    file.seek(first)
    end = last_sample(file.read(sound_end - first), fixed=_fixed_block(head))
    if total and end is not None and end < total:
        return Layout(TRUNCATED)
    frames = (total if end is None else end) or _decoded(file, start)
    if not frames:
        return Layout(NEVER_WRITTEN)
    if frames == total:
        return AS_IT_IS if start == 0 else Layout(parts=(Span(start, size - start),))
    known = (field - total | frames).to_bytes(HEAD - TOTAL, "big")
    rest = Span(start + HEAD, size - start - HEAD)
    return Layout(parts=(Span(start, TOTAL), known, rest))


def _before_tags(file: BufferedReader, start: int, size: int) -> int:
    """Return where the sound ends: before the ID3v1 and APE tags that players put behind it."""
    end = size
    for _ in range(MOST_TAGS):
        if end - start >= ID3V1 and read_at(file, end - ID3V1, 3) == b"TAG":
            end -= ID3V1
            continue
        foot = read_at(file, max(start, end - APE), APE)
        if foot[:8] != b"APETAGEX" or len(foot) < APE:
            break
        length, _, flags = struct.unpack("<III", foot[12:24])
        end -= length + (APE if flags >> 31 else 0)
        if length < APE or end < start:
            return size
    return end


def last_sample(tail: bytes, *, fixed: int | None) -> int | None:
    """Return the number of samples up to the end of the frame that ends a file.

    Args:
        tail: The end of the file, without the tags behind it.
        fixed: Samples of every frame but the last; None where they vary.

    Returns:
        None where no frame with a right checksum ends there.
    """
    headers = 0
    for sync in reversed([*SYNC.finditer(tail)]):
        place = sync.start()
        end = _frame_end(tail[place : place + 16], fixed)
        if end is None:
            continue
        if crc(tail[place:], 0x8005, 16) == 0:
            return end
        headers += 1
        if headers == MOST_HEADERS:
            break
    return None


def crc(content: bytes, polynomial: int, bits: int) -> int:
    """Return the remainder of bytes, most significant bit first; 0 with their checksum behind."""
    table = _table(polynomial, bits)
    mask, shift, found = (1 << bits) - 1, bits - 8, 0
    for byte in content:
        found = (found << 8 & mask) ^ table[found >> shift ^ byte]
    return found


def _frame_end(header: bytes, fixed: int | None) -> int | None:
    """Return the samples up to the end of a frame; None for what is no header."""
    if len(header) < 16:
        header = header.ljust(16, b"\0")
    size, rate = header[2] >> 4, header[2] & 15
    number = header[4]
    length = 8 - (number ^ 0xFF).bit_length()  # of leading ones
    if size == 0 or rate == 15 or header[3] & 1 or length in (1, 8):
        return None
    place = 5 + max(0, length - 1)
    number &= 0x7F if length == 0 else 0x7F >> length
    for byte in header[5:place]:
        number = number << 6 | byte & 0x3F
    if size in (6, 7):
        samples = int.from_bytes(header[place : place + size - 5], "big") + 1
        place += size - 5
    else:
        samples = 192 if size == 1 else 576 << size - 2 if size < 6 else 256 << size - 8
    place += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if crc(header[: place + 1], 0x07, 8):
        return None
    if header[1] & 1:
        return number + samples
    return None if fixed is None else number * fixed + samples


def _fixed_block(head: bytes) -> int | None:
    """Return the samples of every frame but the last, where the header says that they are equal."""
    least, most = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
    return least if least == most else None


def _decoded(file: BufferedReader, start: int) -> int:
    """Count the samples; 0 where the file cannot be decoded."""
    frames, size = 0, file.seek(0, 2)
    try:
        # Without its name, which may end in .raw.
        with ForwardFile(spliced(file, [Span(start, size - start)])) as sound:
            while count := len(sound.read(BLOCK, dtype="float32", always_2d=True)):
                frames += count
    except soundfile.LibsndfileError:
        return 0
    return frames


@cache
def _table(polynomial: int, bits: int) -> list[int]:
    """Return the remainders of single bytes."""
    found = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)
        found.append(value & (1 << bits) - 1)
    return found

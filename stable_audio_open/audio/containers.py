"""Containers whose cut ends libsndfile does not report: WAV and Ogg."""

import struct
from io import BufferedReader

UNKNOWN_LENGTH = (0, 0xFFFFFFFF)
"""Lengths that programs writing to a pipe leave in the data chunk of a WAV file."""
LARGEST_OGG_PAGE = 65307
END_OF_STREAM = 4


def is_cut_off(file: BufferedReader) -> bool:
    """True when a WAV or Ogg file ends before its own structure says; False for other files.

    libsndfile shortens a cut WAV or Ogg file silently, and reports a cut FLAC or MP3 file by
    itself while reading.
    """
    size = file.seek(0, 2)
    file.seek(0)
    magic = file.read(4)
    if magic == b"RIFF":
        return _wav_is_cut_off(file, size)
    if magic == b"OggS":
        return _ogg_is_cut_off(file, size)
    return False


def _wav_is_cut_off(file: BufferedReader, size: int) -> bool:
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return length not in UNKNOWN_LENGTH and position + 8 + length > size
        position += 8 + length + length % 2
    return True


def _ogg_is_cut_off(file: BufferedReader, size: int) -> bool:
    file.seek(max(0, size - LARGEST_OGG_PAGE))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) - page < 27:
        return True
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    ends_at = page + 27 + segments + sum(table)
    return len(table) < segments or ends_at > len(tail) or not tail[page + 5] & END_OF_STREAM

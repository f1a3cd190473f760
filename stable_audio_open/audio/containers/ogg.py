"""Ogg (RFC 3533): pages, each with a checksum, of which the last one says that it is."""

import zlib
from io import BufferedReader

from stable_audio_open.audio.containers.layout import AS_IT_IS, TRUNCATED, Layout

HEADER = 27
DAMAGED = "the file is damaged ({}); download or export it again"
START_OF_STREAM, END_OF_STREAM = 2, 4
ALL_ONES = (1 << 32) - 1
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the other order."""


def ogg_layout(file: BufferedReader, size: int) -> Layout:
    """Walk over the pages, and compare each with its checksum.

    libsndfile shortens a cut file, reads the first of several, and leaves out damaged pages.
    """
    position, has_begun, ends = 0, False, False
    following: dict[bytes, int] = {}
    while position < size:
        file.seek(position)
        head = file.read(HEADER)
        if len(head) < HEADER or head[:4] != b"OggS":
            # What follows the end of the stream is no sound.
            return AS_IT_IS if ends else Layout(TRUNCATED)
        table = file.read(head[26])
        flags = head[5]
        if flags & START_OF_STREAM and has_begun:
            return Layout(
                "holds several recordings one after the other (a chained Ogg file); save each as "
                "a file of its own"
            )
        has_begun = not flags & START_OF_STREAM
        length = sum(table)
        body = file.read(length)
        if len(table) < head[26] or len(body) < length:
            return Layout(TRUNCATED)
        if _checksum(head[:22] + bytes(4) + head[26:] + table + body) != head[22:26]:
            return Layout(DAMAGED.format(f"the page at byte {position} is not as it was written"))
        serial, number = head[14:18], int.from_bytes(head[18:22], "little")
        if number != following.get(serial, number):
            return Layout(DAMAGED.format(f"pages are missing at byte {position}"))
        # What was recorded from a station begins anywhere, behind its headers.
        if any(head[6:14]):
            following[serial] = (number + 1) % (1 << 32)
        position += HEADER + head[26] + length
        ends = bool(flags & END_OF_STREAM)
    return AS_IT_IS if ends else Layout(TRUNCATED)


def _checksum(page: bytes) -> bytes:
    """Return the CRC-32 of a page as it stands in it.

    It is that of zlib with the bits of all bytes and of the sum in the other order, from 0 and
    without a complement.
    """
    found = zlib.crc32(page.translate(MIRRORED), ALL_ONES) ^ ALL_ONES
    return found.to_bytes(4, "big").translate(MIRRORED)

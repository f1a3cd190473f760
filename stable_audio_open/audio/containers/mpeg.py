"""Frames of MPEG audio (ISO/IEC 11172-3 and 13818-3), found by their headers, and tags."""

import struct
from io import BufferedReader
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
FIRST_BLOCK = 1 << 14
"""Bytes that are searched first, since the next frame is rarely far."""
CHAIN = 3
"""Frames in a row that are no coincidence."""
CHAIN_BYTES = 1 << 13
"""More than those have."""
KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Thousands of bits a second, by version of MPEG (2.5 has those of 2) and layer."""
RATES = (44100, 48000, 32000)
VERSIONS = {0: 4, 2: 2, 3: 1}
"""Bits of the header: what RATES are divided by, for MPEG 2.5, 2 and 1."""
MOST_FIELDS = 10_000
"""Fields of a tag that are looked at."""


class Kind(NamedTuple):
    """What all frames of a file have in common."""

    divisor: int
    layer: int
    sample_rate: int

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.divisor > 1 else 1152


class Run(NamedTuple):
    """Frames that follow each other without a gap."""

    frames: int
    end: int
    """Place behind the last whole one."""


TABLE: dict[int, tuple[int, Kind]] = {}
"""Second and third byte of a header: the bytes of the frame, and what it is."""


def _fill() -> None:
    for second in range(0xE0, 0x100):
        divisor, layer = VERSIONS.get(second >> 3 & 3), 4 - (second >> 1 & 3)
        if divisor is None or layer == 4:
            continue
        for third in range(0x100):
            bits, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
            if bits in (0, 15) or rate == 3:
                continue
            kind = Kind(divisor, layer, RATES[rate] // divisor)
            per_second = 1000 * KBITS[min(divisor, 2), layer][bits]
            if layer == 1:
                length = (12 * per_second // kind.sample_rate + padding) * 4
            else:
                length = kind.samples // 8 * per_second // kind.sample_rate + padding
            TABLE[second << 8 | third] = length, kind


_fill()
_LENGTHS = np.zeros(1 << 16, np.int64)
_KINDS = np.full(1 << 16, -1)
_NUMBERS = {kind: number for number, kind in enumerate({kind for _, kind in TABLE.values()})}
for _code, (_length, _kind) in TABLE.items():
    _LENGTHS[_code], _KINDS[_code] = _length, _NUMBERS[_kind]


def starts_as_mp3(head: bytes) -> bool:
    """Return whether a file starts as MP3 files do: with an ID3 tag, or with a frame."""
    return head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and entry_of(head) is not None)


def entry_of(header: bytes) -> tuple[int, Kind] | None:
    """Return the bytes of a frame, and what it is; None for what is no header."""
    if len(header) < 3 or header[0] != 0xFF:
        return None
    return TABLE.get(header[1] << 8 | header[2])


def kind_of(header: bytes) -> Kind | None:
    """Return what a frame is; None for what is no header."""
    entry = entry_of(header)
    return None if entry is None else entry[1]


def frame_run(file: BufferedReader, position: int, size: int, kind: Kind) -> Run:
    """Count frames of one kind from a place on, as far as they follow each other."""
    frames = 0
    while position + 4 <= size:
        block = read_at(file, position, min(BLOCK, size - position))
        at, last = 0, len(block) - 4
        while at <= last:
            entry = TABLE.get(block[at + 1] << 8 | block[at + 2]) if block[at] == 0xFF else None
            if entry is None or entry[1] != kind or position + at + entry[0] > size:
                return Run(frames, position + at)
            at += entry[0]
            frames += 1
        position += at
    return Run(frames, position)


def find_frames(file: BufferedReader, position: int, size: int) -> int | None:
    """Return the first place from which frames follow each other, or where the last ones are."""
    length = FIRST_BLOCK
    while position + 4 <= size:
        block = read_at(file, position, length)
        is_last = len(block) < length
        # Near the end of a block nothing tells what follows: those are looked at in the next one.
        settled = len(block) if is_last else len(block) - CHAIN_BYTES
        for at in _likely_frames(block):
            if at >= settled:
                break
            kind = kind_of(block[at : at + 3])
            assert kind is not None
            run = frame_run(file, position + at, min(size, position + at + CHAIN_BYTES), kind)
            if run.frames >= CHAIN or (run.frames and run.end == size):
                return position + at
        if is_last:
            return None
        position += settled
        length = min(2 * length, BLOCK)
    return None


def _likely_frames(block: bytes) -> list[int]:
    """Return the places of headers that others of their kind follow, as far as a block tells."""
    content = np.frombuffer(block, np.uint8)
    places = np.flatnonzero(content[:-3] == 0xFF)
    places = places[_KINDS[_codes(content, places)] >= 0]
    kinds = _KINDS[_codes(content, places)]
    at, is_open = places, np.zeros(len(places), dtype=bool)
    for _ in range(CHAIN - 1):
        at = at + np.where(is_open, 0, _LENGTHS[_codes(content, at)])
        # What leads out of the block is left to the reader of the file.
        is_open |= at > len(content) - 3
        at = np.where(is_open, 0, at)
        follows = (content[at] == 0xFF) & (_KINDS[_codes(content, at)] == kinds)
        kept = is_open | follows
        places, kinds, at, is_open = places[kept], kinds[kept], at[kept], is_open[kept]
    return places.tolist()  # type: ignore[no-any-return]


def _codes(content: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the second and third byte of headers, as in `TABLE`."""
    codes: NDArray[np.int64] = content[places + 1].astype(np.int64) << 8 | content[places + 2]
    return codes


def behind_tags(file: BufferedReader, position: int, size: int) -> int:
    """Return the place behind ID3 and APE tags, and zeros, that start at a place."""
    while position < size:
        head = read_at(file, position, 32)
        if head[:3] == b"ID3" and len(head) >= 10:
            length = 0
            for seven_bits in head[6:10]:
                length = length << 7 | seven_bits & 0x7F
            position += 10 + length + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG":
            position += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            position += 32 + struct.unpack("<I", head[12:16])[0]
        elif head[:1] == b"\0":
            block = read_at(file, position, BLOCK)
            position += len(block) - len(block.lstrip(b"\0"))
        else:
            break
    return min(position, size)


def behind_fields(file: BufferedReader) -> int:
    """Return the place behind the fields of the ID3 tag at the start, whatever its size says."""
    head = read_at(file, 0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    version, position = head[3], 10
    names, sizes = (3, 3) if version == 2 else (4, 4)
    for _ in range(MOST_FIELDS):
        field = read_at(file, position, names + sizes)
        name = field[:names]
        if not (len(field) == names + sizes and name.isalnum() and name.upper() == name):
            break
        length = 0
        for eight_bits in field[names:]:
            length = length << (7 if version == 4 else 8) | eight_bits
        position += names + sizes + (0 if version == 2 else 2) + length
    return position


def side_end(frame: bytes | bytearray) -> int:
    """Return where the side information of a frame without checksum ends."""
    is_mono, is_first = frame[3] >> 6 == 3, frame[1] >> 3 & 3 == 3
    return 4 + ((17 if is_mono else 32) if is_first else (9 if is_mono else 17))


def read_at(file: BufferedReader, place: int, count: int) -> bytes:
    """Read at most so many bytes from a place on."""
    file.seek(place)
    return file.read(count)

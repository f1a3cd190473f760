"""Containers with the length of the samples in a header: WAV, RF64, W64, AIFF, CAF and AU.

libsndfile shortens such a file silently where it was cut, and believes the lengths that programs
leave there which write to a pipe and cannot go back.
"""

import struct
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from stable_audio_open.audio.containers.layout import AS_IT_IS, TRUNCATED, Layout
from stable_audio_open.files.joined_parts import Span

SLACK = 4096
"""Programs add or subtract headers, and round to whole frames, the lengths below."""
OPEN_ENDS = (0x7F000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
"""Lengths, or nearly, that stand for an unknown one: SoX in AIFF, SoX in WAV, arecord, ffmpeg."""
PLAIN = (1, 3, 6, 7, 0xFFFE)
"""WAV formats without blocks: integers, floats, A-law, mu-law, and those named in an extension."""
LONGEST_BLOCK = 8192
"""Samples by which the last block of ADPCM or GSM may exceed the recording."""
MOST_CHUNKS = 1 << 12
"""Chunks that are looked at; a file of zeros is one of endless empty chunks."""
W64_HEADER, W64_CHUNK = 40, 24


class Chunk(NamedTuple):
    """A named part of a container."""

    name: bytes
    start: int
    """Place of its first byte, behind name and length."""
    length: int
    """Bytes, as its header says."""


def is_open_end(length: int) -> bool:
    """Return whether a length stands for one that was not known when it was written."""
    return any(abs(length - end) <= SLACK for end in OPEN_ENDS)


def wav_layout(file: BufferedReader, size: int) -> Layout:
    """Look at RIFF, RIFX (big-endian) and RF64 files."""
    file.seek(0)
    magic = file.read(4)
    order = ">" if magic == b"RIFX" else "<"
    found: dict[bytes, Chunk] = {}
    for chunk in _chunks(file, size, order):
        found.setdefault(chunk.name, chunk)
        if chunk.name == b"data":
            break
    data = found.get(b"data")
    if data is None:
        return Layout(TRUNCATED)
    large = found.get(b"ds64") if magic == b"RF64" and data.length == 0xFFFFFFFF else None
    length, place, form = data.length, data.start - 4, order + "I"
    if large is not None:
        place, form = large.start + 8, "<Q"
        length = struct.unpack(form, _bytes(file, place, 8))[0]
    held = size - data.start
    is_open = is_open_end(length) if length > held else not length
    if is_open and (length or _is_sound(file, data.start, size, order)):
        largest = held if form == "<Q" else min(held, 0xFFFFFFFF)
        return Layout(parts=_with(place, struct.pack(form, largest), size))
    if length > held:
        return Layout(TRUNCATED)
    return Layout(frames=_said(file, found, order))


def w64_layout(file: BufferedReader, size: int) -> Layout:
    """Look at Sony's Wave64; libsndfile reads one of unknown length to its end."""
    position = W64_HEADER
    for _ in range(MOST_CHUNKS):
        if position + W64_CHUNK > size:
            break
        head = _bytes(file, position, W64_CHUNK)
        length = struct.unpack("<Q", head[16:])[0]
        if head[:4] == b"data":
            known = length > W64_CHUNK and not is_open_end(length)
            return Layout(TRUNCATED) if known and position + length > size else AS_IT_IS
        position += max(W64_CHUNK, -(-length // 8) * 8)
    return Layout(TRUNCATED)


def aiff_layout(file: BufferedReader, size: int) -> Layout:
    """Look at AIFF and AIFF-C; libsndfile reads one of unknown length to its end."""
    for chunk in _chunks(file, size, ">"):
        if chunk.name == b"SSND":
            known = chunk.length and not is_open_end(chunk.length)
            return Layout(TRUNCATED) if known and chunk.start + chunk.length > size else AS_IT_IS
    return Layout(TRUNCATED)


def caf_layout(file: BufferedReader, size: int) -> Layout:
    """Look at Apple's Core Audio Format, where -1 is the length of data that ends the file."""
    position = 8
    for _ in range(MOST_CHUNKS):
        if position + 12 > size:
            break
        name, length = struct.unpack(">4sq", _bytes(file, position, 12))
        start = position + 12
        if name == b"data":
            held = size - start
            if length == -1 or (length > held and is_open_end(length)):
                return Layout(parts=_with(start - 8, struct.pack(">q", held), size))
            return Layout(TRUNCATED) if length > held else AS_IT_IS
        if length < 0:
            break
        position = start + length
    return Layout(TRUNCATED)


def au_layout(file: BufferedReader, size: int) -> Layout:
    """Look at Sun's AU, in either order of bytes."""
    file.seek(0)
    order = ">" if file.read(4) == b".snd" else "<"
    head = file.read(8)
    if len(head) < 8:
        return Layout(TRUNCATED)
    offset, length = struct.unpack(order + "II", head)
    held = size - offset
    if (length > held and is_open_end(length)) or (length == 0 and held > 0):
        return Layout(parts=_with(8, struct.pack(order + "I", 0xFFFFFFFF), size))
    return Layout(TRUNCATED) if length > held else AS_IT_IS


def _chunks(file: BufferedReader, size: int, order: str) -> Iterator[Chunk]:
    """Yield the chunks of RIFF or IFF, which start at even places."""
    position = 12
    for _ in range(MOST_CHUNKS):
        if position + 8 > size:
            break
        name, length = struct.unpack(order + "4sI", _bytes(file, position, 8))
        yield Chunk(name, position + 8, length)
        position += 8 + length + length % 2


def _is_sound(file: BufferedReader, start: int, size: int, order: str) -> bool:
    """Return whether something but further chunks follows samples of length 0."""
    position = start
    while position + 8 <= size:
        name, length = struct.unpack(order + "4sI", _bytes(file, position, 8))
        if not all(32 <= letter < 127 for letter in name):
            return True
        position += 8 + length + length % 2
    return not size <= position <= size + 1


def _said(file: BufferedReader, found: dict[bytes, Chunk], order: str) -> int | None:
    """Return how many samples a compressed WAV says it holds; its blocks may hold more."""
    fact, form = found.get(b"fact"), found.get(b"fmt ")
    if fact is None or form is None:
        return None
    [code] = struct.unpack(order + "H", _bytes(file, form.start, 2))
    if code in PLAIN:
        return None
    [samples] = struct.unpack(order + "I", _bytes(file, fact.start, 4))
    return int(samples) or None


def _with(place: int, content: bytes, size: int) -> tuple[bytes | Span, ...]:
    """Return the parts of a file with other bytes at one place."""
    after = place + len(content)
    return Span(0, place), content, Span(after, size - after)


def _bytes(file: BufferedReader, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count).ljust(count, b"\0")

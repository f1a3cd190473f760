"""Mutations of bytes, whatever they mean."""

import struct
from random import Random
from typing import NamedTuple

HEADER = 256
"""Bytes in the beginning, where mutations say most."""
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Damaged(NamedTuple):
    """Bytes after a mutation."""

    content: bytes
    words: str
    is_cut: bool = False
    """The end is missing, and all before it is as it was."""


def damage(content: bytes, random: Random) -> Damaged:
    """Return the bytes with one mutation; they always differ, but where there are none."""
    kinds = (_flip, _flip, cut, _zero, _double, _append, _extreme, _extreme, _remove)
    for _ in range(20):
        found = random.choice(kinds)(content, random)
        if found.content != content:
            return found
    return _append(content, random)


def cut(content: bytes, random: Random, *, least: float = 0.0, most: float = 1.0) -> Damaged:
    """Return the beginning of the bytes, between two shares of them."""
    low, high = int(least * len(content)), int(most * len(content)) - 1
    length = random.randint(min(low, max(0, high)), max(0, high))
    return Damaged(content[:length], f"cut to {length} of {len(content)} bytes", is_cut=True)


def _place(content: bytes, random: Random) -> int:
    reach = HEADER if random.random() < 0.5 else len(content)
    return random.randrange(max(1, min(reach, len(content))))


def _flip(content: bytes, random: Random) -> Damaged:
    mutated = bytearray(content)
    places = sorted({_place(content, random) for _ in range(random.choice((1, 1, 1, 4, 16)))})
    if content:
        for place in places:
            mutated[place] ^= 1 << random.randrange(8)
    return Damaged(bytes(mutated), f"a bit flipped in bytes {', '.join(map(str, places))}")


def _block(content: bytes, random: Random) -> tuple[int, int]:
    start = _place(content, random)
    return start, min(len(content), start + random.choice((1, 4, 16, 64, 512, 4096)))


def _zero(content: bytes, random: Random) -> Damaged:
    start, end = _block(content, random)
    mutated = content[:start] + bytes(end - start) + content[end:]
    return Damaged(mutated, f"bytes {start} to {end} zeroed")


def _double(content: bytes, random: Random) -> Damaged:
    start, end = _block(content, random)
    return Damaged(content[:end] + content[start:], f"bytes {start} to {end} doubled")


def _remove(content: bytes, random: Random) -> Damaged:
    start, end = _block(content, random)
    return Damaged(content[:start] + content[end:], f"bytes {start} to {end} left out")


def _append(content: bytes, random: Random) -> Damaged:
    junk = random.randbytes(random.choice((1, 3, 64, 1000)))
    return Damaged(content + junk, f"{len(junk)} bytes of junk appended")


def _extreme(content: bytes, random: Random) -> Damaged:
    if len(content) < 8:
        return _append(content, random)
    form = random.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    place = min(_place(content, random), len(content) - 8)
    size = struct.calcsize(form)
    number = (
        random.choice(EXTREMES) if size < 8 else random.choice((1 << 32, 1 << 62, (1 << 64) - 1))
    )
    number &= (1 << 8 * size) - 1
    mutated = content[:place] + struct.pack(form, number) + content[place + size :]
    return Damaged(mutated, f"{number} written as {form} at byte {place}")

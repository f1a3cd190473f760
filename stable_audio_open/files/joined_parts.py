"""A file whose bytes are parts of another one and bytes of our own."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

BUFFER = 1 << 16


class Span(NamedTuple):
    """A part of a file."""

    offset: int
    """Place of its first byte."""
    size: int
    """Bytes."""


class Spliced(io.RawIOBase):
    """Parts in their order, read as one file.

    Args:
        file: What the spans are parts of.
        parts: Bytes, or spans of the file.
        closes: Close `file` too, which is left to the caller otherwise.
    """

    def __init__(
        self,
        file: io.BufferedIOBase | io.RawIOBase,
        parts: Sequence[bytes | Span],
        *,
        closes: bool = False,
    ) -> None:
        self._file = file
        self._closes = closes
        self._parts = [part for part in parts if _size(part)]
        self._starts = [0, *accumulate(_size(part) for part in self._parts)]
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and return it."""
        # The headers of damaged recordings point anywhere, and libsndfile goes there.
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}
        self._position = max(0, start[whence] + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # io's own
        """Read up to the end of a part, and return how many bytes those are."""
        place = bisect_right(self._starts, self._position) - 1
        if place >= len(self._parts):
            return 0
        part, inside = self._parts[place], self._position - self._starts[place]
        wanted = min(len(buffer), _size(part) - inside)
        if isinstance(part, bytes):
            found = part[inside : inside + wanted]
        else:
            self._file.seek(part.offset + inside)
            found = self._file.read(wanted) or b""
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        """Close it, and the file where it is this one's to close."""
        if self._closes:
            self._file.close()
        super().close()


def spliced(
    file: io.BufferedIOBase | io.RawIOBase, parts: Sequence[bytes | Span], *, closes: bool = False
) -> io.BufferedReader:
    """Return the parts as a file; the arguments are those of `Spliced`."""
    return io.BufferedReader(Spliced(file, parts, closes=closes), BUFFER)


def _size(part: bytes | Span) -> int:
    return len(part) if isinstance(part, bytes) else part.size

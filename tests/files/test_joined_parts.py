import io
import os

import pytest

from stable_audio_open.files.joined_parts import Span, Spliced, spliced

CONTENT = bytes(range(100))
PARTS = (b"head", Span(10, 30), b"", Span(5, 0), b"x", Span(90, 10))
WHOLE = b"head" + CONTENT[10:40] + b"x" + CONTENT[90:]


def test_parts_are_one_file() -> None:
    file = spliced(io.BytesIO(CONTENT), PARTS)
    assert file.read() == WHOLE
    assert file.seek(0, os.SEEK_END) == len(WHOLE)
    assert file.read() == b""


@pytest.mark.parametrize("size", [1, 3, 50])
def test_it_is_read_from_anywhere(size: int) -> None:
    file = Spliced(io.BytesIO(CONTENT), PARTS)
    for place in range(len(WHOLE) + 3):
        assert file.seek(place) == place
        buffer = bytearray(size)
        count = file.readinto(buffer)
        assert buffer[:count] == WHOLE[place : place + count]
        assert bool(count) == (place < len(WHOLE))
    file.seek(5)
    assert file.seek(3, os.SEEK_CUR) == 8
    assert file.seek(-100, os.SEEK_CUR) == 0


def test_bytes_that_are_not_there_end_it() -> None:
    assert spliced(io.BytesIO(b"short"), [Span(3, 10), b"end"]).read() == b"rt"
    assert spliced(io.BytesIO(b""), []).read() == b""

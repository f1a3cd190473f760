"""Files of one JSON object a line, as this library writes them."""

import logging
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import TypeVar

import msgspec

from stable_audio_open.files.atomic import appending, write_whole

logger = logging.getLogger(__name__)

Line = TypeVar("Line")
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises of a text that is no JSON, is of another type or is nested too deeply."""
CHUNK = 1 << 16
"""Bytes that are read at once from the end of a file."""


def append_json_lines(path: Path, lines: Sequence[msgspec.Struct]) -> None:
    """Append to a file, which is made where it is missing, all or nothing as far as the disk lets.

    A last line that was cut off, since the process that wrote it was killed, is removed first.
    Processes that append at once wait for each other.

    Raises:
        OSError: Naming the file, which then is as it was.
    """
    content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    with appending(path) as file:
        write_whole(file, _mend_end(file, path) + content)


def _mend_end(file: FileIO, path: Path) -> bytes:
    """Remove a last line that was cut off; return what is missing behind a whole one."""
    size = file.seek(0, os.SEEK_END)
    end, tail = size, b""
    while end and b"\n" not in tail:
        start = max(0, end - CHUNK)
        file.seek(start)
        tail = file.read(end - start) + tail
        end = start
    last = tail.rpartition(b"\n")[2]
    if not last:
        return b""
    if _is_json(last):
        return b"\n"
    logger.warning("%s: the last line was cut off; it is removed", path)
    file.truncate(size - len(last))
    return b""


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except NOT_JSON:
        return False
    return True


def read_json_lines(
    path: Path, kind: type[Line], *, what: str, remedy: str = "", appended: bool = False
) -> list[Line]:
    """Return the lines of a file in order; none where there is no file.

    Args:
        path: The file.
        kind: Type of each line.
        what: A line is, such as `a decision`.
        remedy: What to do about a line that cannot be read.
        appended: The file is written line by line: the last one is passed over, with a warning,
            where it was cut off.

    Raises:
        ValueError: Naming file and line.
    """
    decoder = msgspec.json.Decoder(kind)
    found = []
    content = path.read_bytes() if path.is_file() else b""
    lines = content.splitlines()
    if appended and lines and not content.endswith(b"\n") and not _is_json(lines[-1]):
        logger.warning("%s:%d: the line was cut off; it is passed over", path, len(lines))
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            found.append(decoder.decode(line))
        except NOT_JSON as error:
            to_do = f"; {remedy}" if remedy else ""
            raise ValueError(f"{path}:{number}: not {what} ({error}){to_do}") from error
    return found

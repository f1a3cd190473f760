"""Text that other programs wrote: UTF-8, with or without a byte order mark; others are named."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stable_audio_open.files.pipes_and_devices import refuse_special

MARK = b"\xef\xbb\xbf"
"""Byte order mark, which Windows' editors and PowerShell put before UTF-8."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{")
"""Starts of JSON lines in UTF-16, which PowerShell's `>` writes."""
REMEDY = "save the file as UTF-8"


def text_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line that is not blank, without the mark and line ends.

    Raises:
        ValueError: The file is in UTF-16, or no file.
        OSError: It cannot be read.
    """
    refuse_special(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(MARK) if number == 1 else line
            if number == 1 and text.startswith(UTF_16):
                raise ValueError(f"{path}: is UTF-16; {REMEDY}")
            if text.strip():
                yield number, text.rstrip(b"\r\n")


def not_utf8(content: bytes) -> str:
    """Say what is not UTF-8 in a line; empty where all is."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        byte, column = error.object[error.start], error.start + 1
        return f"byte {byte:#04x} in column {column} is not UTF-8; {REMEDY}"
    return ""


@contextmanager
def open_table(path: Path) -> Iterator[TextIO]:
    """Open a CSV file for the csv module; faults of its bytes are named by file and line.

    Raises:
        ValueError: It is no CSV in UTF-8, or no file.
        OSError: It cannot be read.
    """
    refuse_special(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        for number, line in text_lines(path):
            if fault := not_utf8(line):
                raise ValueError(f"{path}:{number}: {fault}") from error
        raise
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error

"""Files of one JSON object a line, as this library writes them."""

from pathlib import Path
from typing import TypeVar

import msgspec

Line = TypeVar("Line")


def read_json_lines(path: Path, kind: type[Line], *, what: str, remedy: str = "") -> list[Line]:
    """Return the lines of a file in order; none where there is no file.

    Args:
        path: The file.
        kind: Type of each line.
        what: A line is, such as `a decision`.
        remedy: What to do about a line that cannot be read.

    Raises:
        ValueError: Naming file and line.
    """
    decoder = msgspec.json.Decoder(kind)
    found = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else (), 1):
        try:
            found.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            to_do = f"; {remedy}" if remedy else ""
            raise ValueError(f"{path}:{number}: not {what} ({error}){to_do}") from error
    return found

"""How the bytes of a recording are to be read."""

from typing import NamedTuple

from stable_audio_open.files.joined_parts import Span

TRUNCATED = "the file is truncated (it ends before its header says); download or export it again"


class Layout(NamedTuple):
    """What a look at a file's own structure says of it."""

    fault: str = ""
    """What is wrong and what to do; empty for a file that can be used."""
    parts: tuple[bytes | Span, ...] = ()
    """What to give libsndfile in place of the file, so that it reads all; empty for the file."""
    frames: int | None = None
    """Samples that it holds, where libsndfile says more or its number is to be compared."""


AS_IT_IS = Layout()

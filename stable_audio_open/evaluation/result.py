"""What every figure is reported with, so that it can be compared and made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stable_audio_open.version import VERSION


class UnmeasurableError(ValueError):
    """Recordings that give no figure: they are too few, or silent. The message is one line."""


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Say which set gives no figure.

    Raises:
        UnmeasurableError: There is none, with the folder before the reason.
    """
    try:
        yield
    except UnmeasurableError as error:
        raise UnmeasurableError(f"{folder}: {error}") from error


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What all results have; JSON through `msgspec.json.encode`."""

    definition: str
    """Definition of the figure, in words."""
    audio: str
    """Folder of the recordings that are judged."""
    checkpoint: str | None
    """Name of the network behind the figure; None where there is none."""
    checkpoint_hash: str | None
    """SHA-256 over its weights, the first 16 digits."""
    sample_rate: int | None
    """Hertz, at which the recordings were judged; None where each has its own."""
    channels: int | None
    """Channels, at which the recordings were judged; None where each has its own."""
    files: int
    """Recordings that were judged."""
    windows: int
    """Vectors, frames or excerpts of the recordings that were judged."""
    silent: tuple[str, ...] = ()
    """Ids of judged recordings that never exceed -60 dB of full scale."""
    reference: str | None = None
    """Folder or file that they were compared with."""
    missing: tuple[str, ...] = ()
    """Ids that the reference alone has."""
    extra: tuple[str, ...] = ()
    """Ids that the reference lacks."""
    seed: int | None = None
    """Seed of what was drawn; None where nothing was."""
    version: str = VERSION
    """Version of this package."""


def to_json(result: Result) -> bytes:
    """Return indented JSON, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"

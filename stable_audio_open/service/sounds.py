"""Sounds that clients send, to be worked on."""

from pathlib import Path
from typing import NamedTuple

from stable_audio_open.audio.files import AudioFileError, audio_info
from stable_audio_open.service.jobs import new_id
from stable_audio_open.service.problems import InvalidError


class SentSound(NamedTuple):
    """A sound that somebody has sent."""

    id: str
    client: str
    path: Path
    seconds: float
    sample_rate: int
    channels: int
    since: float
    """When it came, by the clock of the service."""


def write_sound(content: bytes, *, client: str, folder: Path, now: float) -> SentSound:
    """Write a sound that was sent, after a look at its structure; no sample is decoded here.

    Args:
        content: A file of any kind that `read_audio` takes.
        client: Who sent it.
        folder: Where it is written.
        now: The time, by the clock of the service.

    Raises:
        InvalidError: It is empty, cut off, or no sound.
    """
    name = new_id()
    path = folder / name
    path.write_bytes(content)
    try:
        info = audio_info(path)
    except AudioFileError as error:
        path.unlink()
        message = str(error).replace(str(path), "the sound")
        raise InvalidError(message, field="sound") from error
    return SentSound(
        id=name,
        client=client,
        path=path,
        seconds=info.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
        since=now,
    )

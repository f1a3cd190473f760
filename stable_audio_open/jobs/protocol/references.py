"""References cut to the length of generations, as files to make."""

from pathlib import Path

from stable_audio_open.audio.files import read_audio
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.jobs.protocol.work import Work, clip_files


def cuts_of(seconds: float, asked: Asked, folder: Path) -> Work:
    """Return the work of cutting references to the length of generations.

    Each keeps its own rate and channels.
    """
    return Work(
        folder=folder,
        files=clip_files(asked.clips),
        make=lambda files: read_audio(asked.references[files[0].clip], duration=seconds),
        sources=asked.references,
        how=f"the first {seconds} s",
    )

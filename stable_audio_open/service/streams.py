"""Sound as it is decoded, before its end is known."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from stable_audio_open.service.events import Cancelled, Failed, Piece
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.problems import NotThereError
from stable_audio_open.service.results import PIECES

WIDTH = 4
"""Bytes of a sample."""


async def streamed(job: Job, facts: ModelFacts) -> AsyncIterator[bytes]:
    """Yield a WAV file of float samples, of which no peak has to be known.

    Args:
        job: A job that was asked for as a stream.
        facts: Of its model.

    Raises:
        NotThereError: The job has ended, and nothing of its sound is there.
    """
    start = streamed_header(facts.sample_rate, facts.channels)
    given = 0
    async for _, event in job.events():
        match event:
            case Piece(samples=samples):
                end = samples * facts.channels * WIDTH
                try:
                    piece = await asyncio.to_thread(_read, job.folder / PIECES, given, end)
                except FileNotFoundError:  # cancelled in the meantime
                    return
                yield start + piece
                start, given = b"", end
            case Failed(problem=problem) if start:
                raise NotThereError(problem.detail)
            case Cancelled(reason=reason) if start:
                raise NotThereError(f"the job was {reason}")


def _read(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def streamed_header(sample_rate: int, channels: int) -> bytes:
    """Return the start of a WAV file of float samples whose length is not known."""
    unknown, width = 0xFFFFFFFF, 4 * channels
    form = struct.pack("<HHIIHHH", 3, channels, sample_rate, sample_rate * width, width, 32, 0)
    return b"".join(
        (
            *(b"RIFF", struct.pack("<I", unknown), b"WAVE"),
            *(b"fmt ", struct.pack("<I", len(form)), form),
            *(b"data", struct.pack("<I", unknown)),
        )
    )

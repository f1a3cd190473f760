"""A job as the page shows it, from the queue to its sound."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.service.events import (
    Cancelled,
    Done,
    Failed,
    Preview,
    Running,
    Step,
    Waiting,
)
from stable_audio_open.service.requests import SoundRequest
from stable_audio_open.service.service import Service


class Shown(NamedTuple):
    """What stands on the page at a time."""

    words: str
    """How far it is, or what went wrong, in one line."""
    job: str | None
    """Id of the job while it can be cancelled."""
    sound: Path | None = None
    """A file to be played: the newest preview, or the sound itself."""
    done: str | None = None
    """Id of the job once its sound is there."""


async def follow(service: Service, request: SoundRequest, *, client: str) -> AsyncIterator[Shown]:
    """Submit a request, and give what is to be shown until it has ended.

    Raises:
        InvalidError: Something of it is wrong.
        BusyError: Too many jobs wait.
        EndingError: The service takes nothing more.
    """
    job = service.submit(request, client=client)
    sound: Path | None = None
    yield Shown("asked for", job.id)
    async for _, event in service.events(job.id, client=client):
        match event:
            case Waiting(place=place):
                yield Shown(f"place {place} in the queue", job.id, sound)
            case Running():
                yield Shown("being made", job.id, sound)
            case Step(number=number, steps=steps):
                yield Shown(f"step {number} of {steps}", job.id, sound)
            case Preview():
                sound = service.preview(job.id, client=client)
                yield Shown("a preview of what it will be", job.id, sound)
            case Done(seeds=seeds, seconds=seconds):
                path = service.result(job.id, client=client)
                seed = f", seed {seeds[0]}" if seeds else ""
                yield Shown(f"{seconds[0]:.2f} s{seed}", None, path, job.id)
            case Failed(problem=problem):
                yield Shown(problem.detail, None)
            case Cancelled(reason=reason):
                yield Shown(f"cancelled: {reason}", None)
            case _:
                pass

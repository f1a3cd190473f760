"""What HTTP tells of jobs and sounds."""

from typing import Any

from pydantic import BaseModel

from stable_audio_open.service.events import (
    Cancelled,
    Done,
    Failed,
    Preview,
    Step,
)
from stable_audio_open.service.jobs import Job, State


class JobState(BaseModel):
    """A job on its way."""

    id: str
    method: str
    state: State
    place: int | None = None
    """Its place in the queue, while it waits."""
    step: int | None = None
    """Steps that are done."""
    steps: int | None = None
    """Steps that there are."""
    seeds: list[int] | None = None
    """Seed of each sound, once they are there."""
    seconds: list[float] | None = None
    """Length of each sound, once they are there."""
    problem: dict[str, Any] | None = None
    """Why there will be no sounds, as a problem document."""
    reason: str | None = None
    """Why it was cancelled."""
    links: dict[str, str]
    """Where its events and its sounds are."""


class SoundState(BaseModel):
    """A sound that was sent."""

    id: str
    seconds: float
    sample_rate: int
    channels: int


def state_of(job: Job) -> JobState:
    """Return what is told of a job."""
    place = f"/v1/jobs/{job.id}"
    links = {"self": place, "events": f"{place}/events"}
    known: dict[str, Any] = {}
    for _, event in job.newer(0):
        match event:
            case Step(number=step, steps=steps):
                known |= {"step": step, "steps": steps}
            case Preview():
                links["preview"] = f"{place}/preview"
            case Done(seeds=seeds, seconds=seconds):
                known |= {"seeds": [*seeds], "seconds": [*seconds]}
                links |= {"result": f"{place}/result", "tags": f"{place}/tags"}
            case Failed(problem=problem):
                known["problem"] = dict(problem.document())
            case Cancelled(reason=reason):
                known["reason"] = reason
            case _:
                pass
    if job.request.stream:
        links["stream"] = f"{place}/stream"
    if job.state == "waiting":
        known["place"] = job.place
    return JobState(id=job.id, method=job.request.method, state=job.state, links=links, **known)

"""Endpoints of jobs: how far they are, and their sounds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import FileResponse, StreamingResponse

from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.service.events import Failed
from stable_audio_open.service.http.asking import Client
from stable_audio_open.service.http.states import JobState, state_of
from stable_audio_open.service.jobs import Numbered
from stable_audio_open.service.results import Format
from stable_audio_open.service.service import Service

KINDS = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg"}
ALIVE = 15.0
"""Seconds after which a line without meaning keeps a connection from being taken for dead."""
NO_STORE = {"cache-control": "no-store"}


def job_routes(service: Service) -> APIRouter:
    """Return the endpoints, each of which knows the jobs of its client alone."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.get("", response_model_exclude_none=True)
    def jobs(client: Client) -> list[JobState]:
        """List one's own jobs, the oldest first."""
        return [state_of(job) for job in service.jobs(client=client)]

    @router.get("/{id}", response_model_exclude_none=True)
    def job(id: str, client: Client) -> JobState:
        """Tell how far a job is."""
        return state_of(service.job(id, client=client))

    @router.delete("/{id}", response_model_exclude_none=True)
    def cancel(id: str, client: Client) -> JobState:
        """Cancel a job, unless it has ended."""
        return state_of(service.cancel(id, client=client))

    @router.get("/{id}/events", response_class=StreamingResponse)
    async def events(
        id: str, client: Client, last_event_id: Annotated[str, Header()] = ""
    ) -> StreamingResponse:
        """Tell what happens to a job, as server-sent events, until it has ended."""
        known = last_event_id.isascii() and last_event_id.isdecimal()
        after = int(last_event_id[:9]) if known else 0
        source = service.events(id, client=client, after=after)
        return StreamingResponse(
            _lines(source), media_type="text/event-stream", headers={"cache-control": "no-cache"}
        )

    @router.get("/{id}/result", response_class=FileResponse)
    def result(
        id: str,
        client: Client,
        *,
        item: Annotated[int, Query(ge=0)] = 0,
        format: Format = "wav",
        subtype: Subtype = "pcm24",
    ) -> FileResponse:
        """Return one of the sounds of a job as a file."""
        path = service.result(id, client=client, item=item, format=format, subtype=subtype)
        return _file(path, f"{id}_{item}.{format}", format)

    @router.get("/{id}/tags")
    def tags(id: str, client: Client) -> list[dict[str, Any]]:
        """Tell how each sound was made, as its file says too; of a stream, nothing."""
        audio = service.audio(id, client=client)
        return [dict(one) for one in audio.tags]

    @router.get("/{id}/preview", response_class=FileResponse)
    def preview(id: str, client: Client) -> FileResponse:
        """Return what the sound would be as of the newest preview, as WAV."""
        return _file(service.preview(id, client=client), f"{id}_preview.wav", "wav")

    @router.get("/{id}/stream", response_class=StreamingResponse)
    async def stream(id: str, client: Client) -> StreamingResponse:
        """Return the sound as it is decoded, as WAV of float samples.

        Its head is sent before its end is known, so it does not say how the sound was made, as
        files do; ask for the same without `stream` where that is wanted.
        """
        pieces = service.stream(id, client=client)
        first = await anext(pieces)
        return StreamingResponse(
            _after(first, pieces), media_type=KINDS["wav"], headers=dict(NO_STORE)
        )

    return router


def _file(path: Path, name: str, format: Literal["wav", "flac", "ogg", "mp3"]) -> FileResponse:
    return FileResponse(path, media_type=KINDS[format], filename=name, headers=dict(NO_STORE))


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _lines(events: AsyncIterator[Numbered]) -> AsyncIterator[bytes]:
    """Yield events in the form of server-sent events."""
    yield b"retry: 1000\n\n"
    coming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=ALIVE)
            if not done:
                yield b": alive\n\n"
                continue
            try:
                number, event = coming.result()
            except StopAsyncIteration:
                return
            content = msgspec.to_builtins(event)
            if isinstance(event, Failed):
                content["problem"] = dict(event.problem.document())
            data = msgspec.json.encode(content).decode()
            yield f"id: {number}\nevent: {content['event']}\ndata: {data}\n\n".encode()
            coming = asyncio.ensure_future(anext(events))
    finally:
        coming.cancel()

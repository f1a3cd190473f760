"""Endpoints of sounds that clients send."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from stable_audio_open.service.http.asking import Client
from stable_audio_open.service.http.gate import BINARY
from stable_audio_open.service.http.states import SoundState
from stable_audio_open.service.service import Service

CONTENT = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("audio/*", BINARY)
        },
    }
}


def sound_routes(service: Service) -> APIRouter:
    """Return the endpoints; a sound is the body itself, which no form of another site can send."""
    router = APIRouter(prefix="/v1/sounds", tags=["sounds"])

    @router.post("", status_code=201, openapi_extra=CONTENT)
    async def send(request: Request, client: Client) -> SoundState:
        """Send a WAV, FLAC, Ogg, MP3 or AIFF file, to be named by its id in what is asked for."""
        content = await request.body()
        sound = await run_in_threadpool(service.add_sound, content, client=client)
        return SoundState(
            id=sound.id,
            seconds=sound.seconds,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
        )

    @router.delete("/{id}", status_code=204)
    def forget(id: str, client: Client) -> None:
        """Remove a sound."""
        service.forget_sound(id, client=client)

    return router

"""The application: all endpoints behind one gate."""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI

from stable_audio_open.service.http.asking import asking_routes
from stable_audio_open.service.http.errors import KIND, add_error_handlers
from stable_audio_open.service.http.facts import fact_routes
from stable_audio_open.service.http.gate import Gate
from stable_audio_open.service.http.jobs import job_routes
from stable_audio_open.service.http.keys import Keys
from stable_audio_open.service.http.metrics import Metrics
from stable_audio_open.service.http.sounds import sound_routes
from stable_audio_open.service.service import Service
from stable_audio_open.version import VERSION

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "A problem document, which names the field that is meant",
        "content": {KIND: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def create_app(
    service: Service, *, keys: Keys | None = None, hosts: Collection[str] = ()
) -> FastAPI:
    """Return the application of a service, which is started and ended by whoever has it.

    What else is mounted on it, such as a page, is behind the same gate; whose a request is stands
    in its scope, under `gate.CLIENT`.

    Args:
        service: What makes the sounds.
        keys: Who may come in; None lets in everybody, told apart by their addresses.
        hosts: Names by which this machine is called, beside `localhost` and its own.
    """
    # Their pages would come from another host, as their scripts do.
    app = FastAPI(
        title="stable-audio-open",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    add_error_handlers(app)
    metrics = Metrics(service)
    for router in (
        asking_routes(service, metrics),
        job_routes(service),
        sound_routes(service),
        fact_routes(service, metrics),
    ):
        app.include_router(router)
    app.add_middleware(Gate, limits=service.limits, keys=keys, hosts=hosts)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Add the form of problem documents to the description of the endpoints."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema["components"]["schemas"]["Problem"] = {
            "type": "object",
            "description": "What was wrong (RFC 9457).",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "field": {"type": "string", "description": "Name of the argument that is meant."},
                "retry_after": {"type": "integer", "description": "Seconds."},
            },
        }
        return schema

    app.openapi = described  # type: ignore[method-assign]

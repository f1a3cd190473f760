"""Endpoints that tell what there is, and how the service does."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from stable_audio_open.service.http.metrics import Metrics
from stable_audio_open.service.service import Service


def fact_routes(service: Service, metrics: Metrics) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["service"])

    @router.get("/v1/models")
    def models() -> list[dict[str, Any]]:
        """List the models; the first is meant where none is named."""
        return [msgspec.to_builtins(facts) for facts in service.models()]

    @router.get("/v1/adapters")
    def adapters() -> list[str]:
        """List the adapters by their names."""
        return list(service.adapters())

    @router.get("/v1/limits")
    def limits() -> dict[str, Any]:
        """Tell how much may be asked for."""
        found: dict[str, Any] = msgspec.to_builtins(service.limits)
        return found

    @router.get("/health")
    def health() -> JSONResponse:
        """Tell whether jobs are taken and made: 200, or 503; it needs no key."""
        status = "ok" if service.ready else "not ready"
        return JSONResponse({"status": status}, 200 if service.ready else 503)

    @router.get("/metrics", response_class=Response)
    def numbers() -> Response:
        """Return numbers in Prometheus' text form."""
        return Response(metrics.text(), media_type=metrics.kind)

    return router

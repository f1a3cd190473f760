"""Endpoints that ask for sounds."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from stable_audio_open.service.http.bodies import (
    Asked,
    Extend,
    Generate,
    Inpaint,
    Reconstruct,
    Variation,
)
from stable_audio_open.service.http.gate import CLIENT
from stable_audio_open.service.http.metrics import Metrics
from stable_audio_open.service.http.states import JobState, state_of
from stable_audio_open.service.problems import ServiceError
from stable_audio_open.service.service import Service


def client_of(request: Request) -> str:
    """Return who asks, as the gate has noted it."""
    return str(request.scope[CLIENT])


Client = Annotated[str, Depends(client_of)]


def asking_routes(service: Service, metrics: Metrics) -> APIRouter:
    """Return the endpoints, which answer at once with a job."""
    router = APIRouter(prefix="/v1", tags=["sounds"])
    options: dict[str, Any] = {"status_code": 202, "response_model_exclude_none": True}

    def asked(body: Asked, client: str, response: Response) -> JobState:
        try:
            job = service.submit(body.request(), client=client)
        except ServiceError as error:
            metrics.refused(error.problem.status)
            raise
        state = state_of(job)
        response.headers["location"] = state.links["self"]
        return state

    @router.post("/generate", **options)
    def generate(body: Generate, client: Client, response: Response) -> JobState:
        """Ask for sounds from text."""
        return asked(body, client, response)

    @router.post("/variation", **options)
    def variation(body: Variation, client: Client, response: Response) -> JobState:
        """Ask for a sound again, otherwise."""
        return asked(body, client, response)

    @router.post("/inpaint", **options)
    def inpaint(body: Inpaint, client: Client, response: Response) -> JobState:
        """Ask for spans of a sound anew."""
        return asked(body, client, response)

    @router.post("/extend", **options)
    def extend(body: Extend, client: Client, response: Response) -> JobState:
        """Ask for what comes behind a sound, or before it."""
        return asked(body, client, response)

    @router.post("/reconstruct", **options)
    def reconstruct(body: Reconstruct, client: Client, response: Response) -> JobState:
        """Ask for a sound as it comes through the autoencoder."""
        return asked(body, client, response)

    return router

"""What goes between the service and a worker."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from stable_audio_open.service.events import AnyEvent
from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.requests import SoundRequest


class Order(NamedTuple):
    """A job, as a worker needs it."""

    job: str
    """Its id."""
    request: SoundRequest
    sounds: Mapping[str, Path]
    """Files of the arguments that are sounds."""
    folder: Path
    """Where its files go."""


class Make(NamedTuple):
    """To the worker: make these jobs, together."""

    orders: tuple[Order, ...]


class Stop(NamedTuple):
    """To the worker: nobody waits for this job any more."""

    job: str


class End(NamedTuple):
    """To the worker: end."""


class Ready(NamedTuple):
    """To the service: all models are loaded."""

    models: tuple[ModelFacts, ...]


class Refused(NamedTuple):
    """To the service: a model cannot be loaded."""

    message: str


class Told(NamedTuple):
    """To the service: something has happened to a job."""

    job: str
    event: AnyEvent


class Idle(NamedTuple):
    """To the service: the jobs have ended, and others can come."""


ToWorker: TypeAlias = Make | Stop | End
ToService: TypeAlias = Ready | Refused | Told | Idle

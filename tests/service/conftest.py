"""Services whose workers are threads of this process, on small random models."""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from stable_audio_open.service.events import AnyEvent
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import Named, ServedModels
from stable_audio_open.service.requests import SoundRequest
from stable_audio_open.service.service import Service
from stable_audio_open.service.work.loaded import LoadedModels
from stable_audio_open.service.work.processes import StartWorker
from stable_audio_open.service.work.worker import work

FOREVER = 10_000
"""Steps of a job that ends when it is told to."""
MakeService = Callable[..., Service]


_LOADING = threading.Lock()


def _load(served: ServedModels, device: str | None) -> LoadedModels:
    """Load models as workers do, but one at a time: transformers does not load in two threads."""
    with _LOADING:
        return LoadedModels(served, device)


class ThreadWorker:
    """A worker in a thread; it is killed by a word that never comes."""

    pid = None

    def __init__(self, served: ServedModels, device: str | None) -> None:
        self.connection, other = multiprocessing.Pipe()
        self._thread = threading.Thread(target=self._work, args=(other, served), daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def kill(self) -> None:
        self.connection.close()

    def end(self) -> str:
        self.connection.close()
        self._thread.join()
        return "with its thread"

    @staticmethod
    def _work(connection: Connection, served: ServedModels) -> None:
        try:
            work(connection, served, "cpu", load=_load)
        except (EOFError, OSError):
            return
        finally:
            connection.close()


def in_thread(served: ServedModels, device: str | None) -> StartWorker:
    return lambda: ThreadWorker(served, device)


@pytest.fixture(scope="session")
def small_models(tiny_model_folder: Path) -> ServedModels:
    """The small model, named `small`."""
    return ServedModels(models=(Named("small", str(tiny_model_folder)),))


@pytest.fixture
def make_service(small_models: ServedModels, tmp_path: Path) -> Iterator[MakeService]:
    """Makes services of the small model, which end with the test."""
    with ExitStack() as opened:

        def make(**options: Any) -> Service:
            usual = {
                "models": small_models,
                "limits": Limits(steps=FOREVER, stop_seconds=60),
                "start_worker": in_thread,
                "folder": tmp_path,
            }
            return opened.enter_context(Service(**{**usual, **options}))

        yield make


def asked(prompt: Any = "deep kick", **arguments: Any) -> SoundRequest:
    """A request of `generate` that is quick to make."""
    return SoundRequest(
        method="generate", arguments={"prompt": prompt, "duration": 0.5, "steps": 2, **arguments}
    )


def endless(**arguments: Any) -> SoundRequest:
    return asked(steps=FOREVER, **arguments)


def until(job: Job, kind: type[AnyEvent]) -> AnyEvent:
    """Wait for an event of a kind; the job must not end before."""

    async def wait() -> AnyEvent:
        async for _, event in job.events():
            if isinstance(event, kind):
                return event
        raise AssertionError(f"{job.event} came without a {kind.__name__}")

    return asyncio.run(wait())

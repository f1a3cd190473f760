"""What is told of failures: to who asked his own mistakes, and little of ours."""

import logging
from pathlib import Path
from types import MappingProxyType

import pytest

from stable_audio_open.service.events import Done, Failed, Step
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import Named, ServedModels
from stable_audio_open.service.requests import SoundRequest
from stable_audio_open.service.work.messages import Order
from stable_audio_open.service.work.processes import StartWorker
from stable_audio_open.service.work.worker import failure
from tests.service.conftest import FOREVER, MakeService, ThreadWorker, asked, endless, until

SOUND = Path("/srv/secret/audio")
ORDER = Order("id", SoundRequest(method="reconstruct"), {"audio": SOUND}, Path("/srv/secret"))


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (ValueError(f"{SOUND}: holds NaN"), 422, "audio: holds NaN"),
        (TypeError("audio must be a path"), 422, "audio must be a path"),
        (MemoryError(), 500, "out of memory; ask for fewer sounds at once, or a shorter window"),
        (RuntimeError("CUDA out of memory. Tried"), 500, "out of memory; ask for fewer"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 500, "out of memory; ask"),
        (FloatingPointError("the model gave NaN"), 500, "the model gave NaN"),
        (
            RuntimeError(f"bug at {SOUND}"),
            500,
            "the sound could not be made (RuntimeError); whoever",
        ),
        (KeyError("secret"), 500, "the sound could not be made (KeyError); whoever"),
    ],
)
def test_failures_are_told(
    error: Exception, status: int, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "stable_audio_open"):
        problem = failure(error, ORDER).problem
    assert problem.status == status
    assert problem.detail.startswith(detail)
    assert "secret" not in problem.detail


def test_a_mistake_of_ours_fails_one_job_and_the_service_goes_on(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    """This one cannot be sent to a worker."""
    service = make_service()
    odd = asked(negative_prompt=None, conditions=MappingProxyType({}))
    with caplog.at_level(logging.CRITICAL, "stable_audio_open"):
        event = service.submit(odd, client="a").wait()
        assert isinstance(event, Failed)
        assert "the service did not understand what became of it" in event.problem.detail
        assert isinstance(service.submit(asked(), client="a").wait(), Done)
    assert service.pool.restarts == 1


def test_workers_share_the_queue(make_service: MakeService) -> None:
    service = make_service(devices=("cpu", "cpu"), limits=Limits(steps=FOREVER))
    jobs = [service.submit(endless(), client="a") for _ in range(2)]
    for job in jobs:
        until(job, Step)
    assert set(service.running) == set(jobs)
    waiting = service.submit(asked(), client="b")
    assert waiting.state == "waiting"
    service.cancel(jobs[1].id, client="a")
    assert isinstance(waiting.wait(), Done)
    assert jobs[0].state == "running"
    service.cancel(jobs[0].id, client="a")


@pytest.mark.slow
def test_a_worker_that_cannot_be_started_again_is_tried_once_more(
    make_service: MakeService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = ServedModels(models=(Named("small", str(tmp_path / "nowhere")),))
    workers: list[ThreadWorker] = []

    def starting(served: ServedModels, device: str | None) -> StartWorker:
        def start() -> ThreadWorker:
            workers.append(ThreadWorker(nowhere if len(workers) == 1 else served, device))
            return workers[-1]

        return start

    service = make_service(start_worker=starting, limits=Limits(steps=FOREVER))
    running = service.submit(endless(), client="a")
    until(running, Step)
    waiting = service.submit(asked(), client="b")
    with caplog.at_level(logging.ERROR, "stable_audio_open"):
        workers[0].kill()
        assert isinstance(running.wait(), Failed)
        assert isinstance(waiting.wait(), Done)
    assert len(workers) == 3
    assert "a worker could not be started again" in caplog.text

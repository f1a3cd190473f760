"""Workers in processes of their own: killed, and started again."""

import os
import signal
from pathlib import Path

import pytest
import torch

from stable_audio_open.pretrained import StableAudio
from stable_audio_open.service.events import Done, Failed, Step
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import Named, ServedModels
from stable_audio_open.service.service import Service
from stable_audio_open.service.work.pool import process_of
from tests.service.conftest import FOREVER, MakeService, asked, endless, until


@pytest.mark.slow
def test_a_killed_worker_fails_one_job_and_is_started_again(
    make_service: MakeService, tiny_model_folder: Path
) -> None:
    service = make_service(start_worker=process_of, devices=("cpu",))
    job = service.submit(endless(), client="a")
    until(job, Step)
    waiting = service.submit(asked(seed=3), client="b")
    (pid,) = service.pool.pids
    os.kill(pid, signal.SIGKILL)
    event = job.wait()
    assert isinstance(event, Failed)
    assert event.problem.status == 500
    assert "the worker that made the sound has died" in event.problem.detail
    assert isinstance(waiting.wait(), Done)
    assert service.pool.restarts == 1
    assert service.pool.pids != [pid]
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    own = model.generate(**asked(seed=3).arguments)
    assert torch.equal(service.audio(waiting.id, client="b").samples, own.samples)
    (pid,) = service.pool.pids
    for number in (signal.SIGTERM, signal.SIGINT):  # which reach all processes of a service
        os.kill(pid, number)
    assert isinstance(service.submit(asked(), client="a").wait(), Done)
    service.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_a_worker_that_does_not_stop_is_ended(small_models: ServedModels, tmp_path: Path) -> None:
    """It is stopped by a signal, and so takes no word."""
    limits = Limits(steps=FOREVER, job_seconds=5.0, stop_seconds=0.1)
    with Service(small_models, devices=("cpu",), limits=limits, folder=tmp_path) as service:
        job = service.submit(endless(), client="a")
        until(job, Step)
        (pid,) = service.pool.pids
        os.kill(pid, signal.SIGSTOP)
        event = job.wait()
        assert isinstance(event, Failed)
        assert "took longer than the 5 seconds" in event.problem.detail
        assert isinstance(service.submit(asked(), client="a").wait(), Done)
        assert service.pool.restarts == 1


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_told_by_the_worker(tmp_path: Path) -> None:
    service = Service(ServedModels(models=(Named("x", "nowhere/at/all"),)), folder=tmp_path)
    with pytest.raises(ValueError, match="nowhere/at/all"):
        service.start()

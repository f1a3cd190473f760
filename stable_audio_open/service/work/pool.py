"""All workers together, one for each device."""

from collections.abc import Callable, Sequence

import torch

from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ModelFacts, ServedModels
from stable_audio_open.service.queue import JobQueue
from stable_audio_open.service.work.batching import items_of, shape_of
from stable_audio_open.service.work.messages import Order
from stable_audio_open.service.work.processes import StartWorker, WorkerProcess
from stable_audio_open.service.work.supervisor import Ended, Supervisor


class WorkerPool:
    """Workers that take jobs from one queue.

    Args:
        served: What each of them loads.
        devices: One for each worker.
        queue: Where jobs come from.
        limits: How long they may take.
        together: Sounds that are made at once, at most.
        ended: Told of each job that a worker is done with.
        start_worker: From what is loaded and a device to what starts a worker.
    """

    def __init__(
        self,
        served: ServedModels,
        devices: Sequence[str | None],
        queue: JobQueue,
        *,
        limits: Limits,
        together: int,
        ended: Ended,
        start_worker: Callable[[ServedModels, str | None], StartWorker],
    ) -> None:
        if not devices:
            raise ValueError("there is no device to work on; give at least one")
        if together < 1:
            raise ValueError(f"together must be at least 1, got {together}")
        self._queue = queue
        self._limits = limits
        self._together = together
        self._supervisors = [
            Supervisor(
                start_worker(served, device),
                queue,
                limits=limits,
                order=order_of,
                ended=ended,
                alike=self._alike,
            )
            for device in devices
        ]

    def start(self) -> None:
        """Start all workers, and wait until their models are loaded.

        Raises:
            ValueError: A model cannot be loaded.
            WorkerDiedError: A worker has died on the way.
        """
        for supervisor in self._supervisors:
            supervisor.start()
        for supervisor in self._supervisors:
            supervisor.facts.result()

    def facts(self) -> tuple[ModelFacts, ...]:
        """Return what is known of each model, once they are loaded."""
        return self._supervisors[0].facts.result()

    @property
    def current(self) -> list[Job]:
        """Jobs that are made at present."""
        return [job for supervisor in self._supervisors for job in supervisor.current]

    @property
    def restarts(self) -> int:
        """Times that a worker was started again."""
        return sum(max(0, supervisor.starts - 1) for supervisor in self._supervisors)

    @property
    def pids(self) -> list[int]:
        """Numbers of the workers' processes."""
        return [one.pid for one in self._supervisors if one.pid is not None]

    @property
    def ready(self) -> bool:
        """A worker is there."""
        return any(one.ready for one in self._supervisors)

    def stop(self, job: Job) -> None:
        """Tell whoever makes a job that nobody waits for it any more."""
        for supervisor in self._supervisors:
            supervisor.stop(job)

    def close(self) -> None:
        """End all workers, those too that do not stop in time."""
        for supervisor in self._supervisors:
            supervisor.close()
        for supervisor in self._supervisors:
            supervisor.join(self._limits.stop_seconds)

    def _alike(self, job: Job) -> Sequence[Job]:
        """Take the jobs that are made together with another one."""
        shape = shape_of(job.request) if self._together > 1 else None
        if shape is None:
            return []
        left = self._together - items_of(job.request)

        def fits(other: Job) -> bool:
            nonlocal left
            if shape_of(other.request) != shape or items_of(other.request) > left:
                return False
            left -= items_of(other.request)
            return True

        return self._queue.take_like(fits)


def order_of(job: Job) -> Order:
    """Return what a worker needs to know of a job."""
    sounds = {name: job.folder / name for name in job.request.sounds}
    return Order(job.id, job.request, sounds, job.folder)


def process_of(served: ServedModels, device: str | None) -> StartWorker:
    """Return what starts a worker in a process of its own."""
    return lambda: WorkerProcess(served, device)


def all_devices() -> tuple[str | None, ...]:
    """Return the devices of this machine that a worker is worth: all GPUs, else the CPU."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or (None,)

"""Keeps one worker at work: gives it jobs, passes on what it tells, and starts it again."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stable_audio_open.service.events import Failed
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.problems import ServiceError
from stable_audio_open.service.queue import JobQueue
from stable_audio_open.service.work.messages import (
    End,
    Idle,
    Make,
    Order,
    Ready,
    Refused,
    Stop,
    Told,
    ToService,
)
from stable_audio_open.service.work.processes import StartWorker, Worker

logger = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between looks at a worker that has nothing to do."""
LONGEST_PAUSE = 60.0
"""Seconds between two starts of a worker that dies again and again."""

Ended = Callable[[Job, float], None]
"""Takes a job that a worker is done with, and the seconds that it took."""
Alike = Callable[[Job], Sequence[Job]]
"""From a job that was taken to those that are taken with it."""


class WorkerDiedError(Exception):
    """A worker has ended, and nobody has asked it to."""


class Supervisor:
    """One worker, and the thread that it is watched from.

    Args:
        start: Starts a worker.
        queue: Where jobs come from.
        limits: How long they may take.
        order: What a worker needs to know of a job.
        ended: Told of each job that a worker is done with.
        alike: Takes jobs that are made with another one.
    """

    def __init__(
        self,
        start: StartWorker,
        queue: JobQueue,
        *,
        limits: Limits,
        order: Callable[[Job], Order],
        ended: Ended,
        alike: Alike,
    ) -> None:
        self.facts: Future[tuple[ModelFacts, ...]] = Future()
        """What is known of the models, once they are loaded; or why they cannot be."""
        self.starts = 0
        """Times that a worker was started."""
        self.ready = False
        """A worker waits, or is at work."""
        self._start = start
        self._queue = queue
        self._limits = limits
        self._order = order
        self._ended = ended
        self._alike = alike
        self._closing = threading.Event()
        self._sending = threading.Lock()
        self._worker: Worker | None = None
        self._current: list[Job] = []
        self._pending: list[Job] = []
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker, and keep it at work."""
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Number of the worker's process."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def current(self) -> list[Job]:
        """Jobs that the worker is making, or will be once it has started again."""
        return [*self._current, *self._pending]

    def stop(self, job: Job) -> None:
        """Tell the worker that nobody waits for a job any more, if it is making it."""
        with self._sending:
            if job in self._current and self._worker is not None:
                self._send(self._worker, Stop(job.id))

    def close(self) -> None:
        """End the worker as soon as it is idle; the queue was closed before."""
        self._closing.set()

    def join(self, timeout: float) -> None:
        """Wait until the worker has ended, and end it where it takes too long."""
        if self._thread.ident is None:
            return
        self._thread.join(timeout)
        worker = self._worker
        if self._thread.is_alive() and worker is not None:
            worker.kill()
            self._thread.join()

    def _supervise(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            worker = None
            try:
                worker = self._worker = self._start()
                self.starts += 1
                facts = self._greet(worker)
            # The last two where the system starts no process more, or not from there.
            except (ValueError, WorkerDiedError, OSError, RuntimeError) as error:
                if worker is not None:
                    worker.kill()
                    worker.end()
                if not self.facts.done():
                    self.facts.set_exception(error)
                    return
                pause = min(LONGEST_PAUSE, 2 * pause or 1.0)
                logger.error("a worker could not be started again: %s", error)
                continue
            if not self.facts.done():
                self.facts.set_result(facts)
            pause = 0.0
            self.ready = True
            try:
                self._serve(worker)
            except Exception:  # a mistake of ours must not leave jobs without anybody
                logger.exception("a worker is ended, since it was not understood")
                worker.kill()
            self.ready = False
            how = worker.end()
            if not self._closing.is_set():
                logger.error("a worker ended %s; it is started again", how)

    def _greet(self, worker: Worker) -> tuple[ModelFacts, ...]:
        """Wait until the models are loaded.

        Raises:
            ValueError: One cannot be.
            WorkerDiedError: The worker has ended.
        """
        message = self._receive(worker)
        while message is None:
            if self._closing.is_set():
                raise WorkerDiedError("the service was closed before the models were loaded")
            message = self._receive(worker)
        match message:
            case Ready(facts):
                return facts
            case Refused(text):
                raise ValueError(text)
            case _:
                raise AssertionError(message)

    def _serve(self, worker: Worker) -> None:
        """Give a worker jobs until it ends."""
        while True:
            jobs, self._pending = self._pending, []
            if not jobs:
                job = self._queue.take(LOOK)
                if job is None and self._queue.closed and self._closing.wait(LOOK):
                    self._send(worker, End())
                    return
                jobs = [] if job is None else [job, *self._alike(job)]
            if not worker.alive():
                self._pending = jobs
                return
            if not jobs:
                continue
            try:
                self._make(worker, jobs)
            except WorkerDiedError:
                return

    def _make(self, worker: Worker, jobs: Sequence[Job]) -> None:
        """Have jobs made, and pass on what becomes of them.

        Raises:
            WorkerDiedError: The worker has ended, or was ended since it did not stop in time.
        """
        begin = time.monotonic()
        try:
            with self._sending:
                self._current = [job for job in jobs if not job.ended]
                if self._current:
                    self._send(worker, Make(tuple(map(self._order, self._current))))
            if self._current:
                self._follow(worker, begin + self._limits.job_seconds)
        except WorkerDiedError:
            self._fail(
                "the worker that made the sound has died, perhaps for want of memory; ask for "
                "fewer sounds at once, or a shorter window"
            )
            raise
        finally:
            self._fail("the service did not understand what became of it; see its log")
            with self._sending:
                done, self._current = self._current, []
            seconds = (time.monotonic() - begin) / max(1, len(done))
            for job in jobs:
                self._ended(job, seconds if job in done else 0.0)

    def _follow(self, worker: Worker, deadline: float) -> None:
        late = False
        while True:
            message = self._receive(worker, deadline - time.monotonic())
            match message:
                case Told(id, event):
                    (job,) = (job for job in self._current if job.id == id)
                    job.tell(event)
                case Idle():
                    return
                case None if late:
                    worker.kill()
                    raise WorkerDiedError("it did not stop in time")
                case None:
                    late = True
                    deadline += self._limits.stop_seconds
                    self._fail(
                        f"the sound took longer than the {self._limits.job_seconds:g} seconds "
                        "that it may; ask for fewer steps or a shorter sound"
                    )
                    for job in self._current:
                        self.stop(job)
                case _:
                    raise AssertionError(message)

    def _fail(self, detail: str) -> None:
        for job in self._current:
            job.tell(Failed(problem=ServiceError(detail).problem))

    def _receive(self, worker: Worker, timeout: float = LOOK) -> ToService | None:
        """Return what the worker says, or None when the time is over.

        Raises:
            WorkerDiedError: It says nothing any more.
        """
        try:
            if not worker.connection.poll(max(0.0, timeout)):
                return None
            message: ToService = worker.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError("it has ended") from error
        return message

    def _send(self, worker: Worker, message: Make | Stop | End) -> None:
        """Send something; that a worker has ended is noticed where its answer is read."""
        try:
            worker.connection.send(message)
        except OSError:
            logger.debug("a worker has ended before it was sent %s", type(message).__name__)

"""Who is next: clients take turns, however much each of them asks for."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.problems import BusyError, EndingError

FIRST_PACE = 1.0
"""Seconds of a job, before one is done: who comes too early is refused once more, and who comes too
late has waited for nothing."""
LONGEST_WAIT = 60
"""Seconds that somebody is told to wait at most."""
WEIGHT = 0.2
"""How much the newest job counts in the pace."""
PATIENCE = 5.0
"""Seconds by which somebody who was told to come again may be late."""


class JobQueue:
    """Jobs that wait, each of which knows its place; any thread may call any method.

    Clients take turns, one job each, in the order in which they came to the queue; each one's jobs
    keep their order. Who finds no room is told when to come again, and has a place before those who
    come later: else those whose sound was made would be back first.

    Args:
        limits: How many may wait.
        workers: How many jobs are made at a time.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._workers = workers
        self._clock = clock
        self._clients: OrderedDict[str, deque[Job]] = OrderedDict()
        self._promised: OrderedDict[str, float] = OrderedDict()
        """Clients that were told to come again, and until when their place is kept."""
        self._closed = False
        self._pace: float | None = None
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._clients.values()))

    @property
    def closed(self) -> bool:
        """Nothing is taken any more."""
        return self._closed

    def put(self, job: Job) -> None:
        """Add a job, and tell it its place.

        Raises:
            BusyError: Too many wait, of this client or of all.
            EndingError: The queue is closed.
        """
        with self._changed:
            if self._closed:
                raise EndingError("the service is ending and takes no new jobs; try again later")
            waiting, own = len(self), len(self._clients.get(job.client, ()))
            if own >= self._limits.waiting_of_client:
                raise BusyError(
                    f"{own} of your jobs are waiting, and that is as many as may; wait for one of "
                    "them, or cancel it",
                    retry_after=self._wait(self._places()[0][0]),
                )
            before = self._promised_before(job.client)
            if waiting + before >= self._limits.waiting:
                wait = self._wait(waiting + before - self._limits.waiting + 1)
                self._promise(job.client, wait)
                kept = f", and {before} places are kept for others" if before else ""
                raise BusyError(
                    f"{waiting} jobs are waiting{kept}, at most {self._limits.waiting} may; try "
                    "again later",
                    retry_after=wait,
                )
            self._promised.pop(job.client, None)
            self._clients.setdefault(job.client, deque()).append(job)
            self._tell_places()
            self._changed.notify()

    def take(self, timeout: float | None = None) -> Job | None:
        """Wait for a job and take it; None where none comes, or the queue is closed.

        Args:
            timeout: Seconds to wait at most.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._clients or self._closed, timeout)
            if not self._clients:
                return None
            client, jobs = next(iter(self._clients.items()))
            job = jobs.popleft()
            self._clients.pop(client)
            if jobs:
                self._clients[client] = jobs  # whose turn comes after all others'
            self._tell_places()
            return job

    def take_like(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Take the jobs that can be made together with another one, asked one by one in turn."""
        with self._changed:
            found = [job for _, job in self._places() if matches(job)]
            for job in found:
                self._remove(job)
            self._tell_places()
            return found

    def remove(self, job: Job) -> bool:
        """Take a job out, and return whether it was there."""
        with self._changed:
            if job not in self._clients.get(job.client, ()):
                return False
            self._remove(job)
            self._tell_places()
            return True

    def close(self) -> list[Job]:
        """Take nothing more, wake all who wait for a job, and return the jobs that wait."""
        with self._changed:
            self._closed = True
            left = [job for _, job in self._places()]
            self._clients.clear()
            self._changed.notify_all()
            return left

    def took(self, seconds: float) -> None:
        """Learn from a job that is done how long one takes."""
        with self._changed:
            self._pace = (
                seconds if self._pace is None else self._pace + WEIGHT * (seconds - self._pace)
            )

    def _promised_before(self, client: str) -> int:
        """Return how many clients have a place before one that asks now."""
        now = self._clock()
        for one, end in list(self._promised.items()):
            if end <= now:
                del self._promised[one]
        promised = list(self._promised)
        return promised.index(client) if client in promised else len(promised)

    def _promise(self, client: str, wait: float) -> None:
        """Keep a place for a client that is told to wait; it stays before those that came later."""
        if client in self._promised or len(self._promised) < self._limits.waiting:
            self._promised[client] = self._clock() + wait + PATIENCE

    def _remove(self, job: Job) -> None:
        jobs = self._clients[job.client]
        jobs.remove(job)
        if not jobs:
            del self._clients[job.client]

    def _places(self) -> list[tuple[int, Job]]:
        """Return places and jobs in the order in which they are taken."""
        turns = sorted(
            (
                (turn, place, job)
                for place, jobs in enumerate(self._clients.values())
                for turn, job in enumerate(jobs)
            ),
            key=lambda one: one[:2],
        )
        return [(place, job) for place, (_, _, job) in enumerate(turns, start=1)]

    def _tell_places(self) -> None:
        for place, job in self._places():
            job.move(place)

    def _wait(self, places: int) -> int:
        """Return whole seconds until so many jobs have been taken."""
        pace = FIRST_PACE if self._pace is None else self._pace
        return max(1, min(LONGEST_WAIT, math.ceil(places * pace / self._workers)))

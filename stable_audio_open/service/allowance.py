"""How long the jobs of a client may take in an hour."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from stable_audio_open.service.problems import BusyError

HOUR = 3600.0


class Allowance:
    """Time that the jobs of each client took within the last hour.

    Args:
        seconds: Most of it; None for no limit.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, seconds: float | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = seconds
        self._clock = clock
        self._taken: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def check(self, client: str) -> None:
        """Check that a client may ask for a job.

        Raises:
            BusyError: Its jobs have taken their time.
        """
        if self._most is None:
            return
        with self._lock:
            self._forget()
            taken = self._taken.get(client, deque())
            over = sum(seconds for _, seconds in taken) - self._most
            frees = -math.inf
            for end, seconds in taken:
                if over < 0:
                    break
                over, frees = over - seconds, end + HOUR
            wait = frees - self._clock()
        if wait <= 0:
            return
        raise BusyError(
            f"your jobs have taken the {self._most:g} seconds that they may in an hour; try again "
            "later",
            retry_after=max(1, math.ceil(wait)),
        )

    def took(self, client: str, seconds: float) -> None:
        """Note what a job has taken."""
        if self._most is None:
            return
        with self._lock:
            self._taken.setdefault(client, deque()).append((self._clock(), seconds))
            self._forget()

    def _forget(self) -> None:
        begin = self._clock() - HOUR
        for client, taken in list(self._taken.items()):
            while taken and taken[0][0] <= begin:
                taken.popleft()
            if not taken:
                del self._taken[client]

"""One request on its way, from the queue to its sounds."""

import asyncio
import math
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from stable_audio_open.service.events import (
    LAST,
    AnyEvent,
    Cancelled,
    Done,
    Failed,
    Waiting,
)
from stable_audio_open.service.requests import SoundRequest

NEAR = 10
"""Place in the queue from which on each change is told."""
NEARER = 0.75
"""Share of the place that was told last at which one further back is told again: each is sent to
whoever listens, and all that wait move at once."""

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]


class Numbered(NamedTuple):
    """An event, and its number among those of its job."""

    number: int
    event: AnyEvent


class Job:
    """One request on its way; events may come from any thread, and be awaited in any loop.

    Of each kind of event the newest is kept: who listens slowly misses steps, and nothing else.

    Args:
        request: What is asked for.
        client: Who asks.
        folder: Where its files are.
    """

    def __init__(self, request: SoundRequest, *, client: str, folder: Path) -> None:
        self.id = new_id()
        self.request = request
        self.client = client
        self.folder = folder / self.id
        self.place: int | None = None
        """Place in the queue, as of now."""
        self._newest: dict[type[AnyEvent], Numbered] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._wakers: set[Callable[[], None]] = set()

    def tell(self, event: AnyEvent) -> bool:
        """Add an event, and return whether it counts: after the last event none does."""
        with self._changed:
            if self.ended:
                return False
            self._count += 1
            self._newest[type(event)] = Numbered(self._count, event)
            wakers = list(self._wakers)
            self._changed.notify_all()
        for wake in wakers:
            wake()
        return True

    def move(self, place: int) -> None:
        """Note the place in the queue, and tell it where that is worth it."""
        with self._changed:
            self.place = place
            told = self._newest.get(Waiting)
            last = told.event.place if told and isinstance(told.event, Waiting) else math.inf
            if place != last and (place <= NEAR or place <= NEARER * last):
                self.tell(Waiting(place=place))

    @property
    def event(self) -> AnyEvent | None:
        """The newest event."""
        with self._changed:
            return max(self._newest.values()).event if self._newest else None

    @property
    def ended(self) -> bool:
        """No event will come."""
        return any(kind in self._newest for kind in LAST)

    @property
    def state(self) -> State:
        """Where the job is on its way."""
        match self.event:
            case None | Waiting():
                return "waiting"
            case Done():
                return "done"
            case Failed():
                return "failed"
            case Cancelled():
                return "cancelled"
            case _:
                return "running"

    def newer(self, number: int) -> list[Numbered]:
        """Return what has happened since an event, in its order."""
        with self._changed:
            return sorted(one for one in self._newest.values() if one.number > number)

    def wait(self, timeout: float | None = None) -> AnyEvent | None:
        """Wait until the job has ended, and return its newest event.

        Args:
            timeout: Seconds to wait at most.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ended, timeout)
        return self.event

    async def events(self, after: int = 0) -> AsyncIterator[Numbered]:
        """Yield what happens, until the job has ended.

        Args:
            after: Number of an event; those up to it are left out.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # of a loop that was closed in the meantime
                loop.call_soon_threadsafe(news.set)

        with self._changed:
            self._wakers.add(wake)
        try:
            while True:
                news.clear()
                ended = self.ended  # before what is new, which then holds the last
                for one in self.newer(after):
                    after = one.number
                    yield one
                if ended:
                    return
                await news.wait()
        finally:
            with self._changed:
                self._wakers.discard(wake)


def new_id() -> str:
    """Return a name that cannot be guessed, of letters and digits alone."""
    return secrets.token_hex(16)

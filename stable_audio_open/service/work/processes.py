"""Workers as processes of their own, which may die without harm to the service."""

import atexit
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol, TypeAlias, runtime_checkable

from stable_audio_open.engine.processes import end_with_parent
from stable_audio_open.service.models import ServedModels

JOIN = 10.0
"""Seconds that a process that was told to end, or killed, takes at most."""


@runtime_checkable
class Worker(Protocol):
    """A worker that was started."""

    connection: Connection
    """To it; what it sends ends where it dies."""
    pid: int | None
    """Number of its process."""

    def alive(self) -> bool:
        """Return whether it can still be given something."""

    def kill(self) -> None:
        """End it, whatever it does."""

    def end(self) -> str:
        """Wait for its end, and return how it came: `by signal 9`."""


StartWorker: TypeAlias = Callable[[], Worker]


class WorkerProcess:
    """A worker in a spawned process: `fork` would copy locks of threads, and CUDA refuses it.

    Args:
        served: What it loads.
        device: Where to.
    """

    def __init__(self, served: ServedModels, device: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(
            target=_work,
            args=(other, served, device),
            name=f"worker-{device or 'auto'}",
            daemon=True,
        )
        self._process.start()
        # Else an exit without `end` would wait for a process that takes no other signal.
        atexit.register(self._process.kill)
        other.close()  # else its end would not be noticed here
        self.pid = self._process.pid

    def alive(self) -> bool:
        """See `Worker`."""
        return self._process.is_alive()

    def kill(self) -> None:
        """See `Worker`."""
        self._process.kill()

    def end(self) -> str:
        """See `Worker`."""
        self.connection.close()
        self._process.join(JOIN)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        atexit.unregister(self._process.kill)
        code = self._process.exitcode or 0
        return f"by signal {-code}" if code < 0 else f"with exit code {code}"


class _OneLine(logging.Formatter):
    """Shows what strangers have written as it may be shown in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(
            one if one.isprintable() or one == "\n" else ascii(one)[1:-1]
            for one in super().format(record)
        )


def _work(connection: Connection, served: ServedModels, device: str | None) -> None:
    """Work in a process of its own, which ends with its parent and by its word alone."""
    for name in ("SIGINT", "SIGTERM"):  # which reach all processes of a group, or of a service
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"%(levelname)s: worker {os.getpid()}: %(message)s"))
    logging.getLogger("stable_audio_open").addHandler(handler)

    from stable_audio_open.service.work.worker import work

    work(connection, served, device)

"""Serving until a signal comes: then what is being made may end, and is given out."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeAlias

import uvicorn
from fastapi import FastAPI

from stable_audio_open.service.service import Service

LINGER = 5.0
"""Seconds that sounds which were made last can be fetched."""
MOST_CONNECTIONS = 1000
Tell: TypeAlias = Callable[[str], None]


class _Server(uvicorn.Server):
    """Goes on answering while the last jobs are made; a second signal ends at once."""

    def __init__(
        self, config: uvicorn.Config, service: Service, *, address: str, tell: Tell
    ) -> None:
        super().__init__(config)
        self._service = service
        self._address = address
        self._tell = tell
        self._told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        names = ", ".join(f"{facts.name} on {facts.device}" for facts in self._service.models())
        self._tell(f"{self._address}: {names}; Ctrl-C ends it")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        if self._told:
            self.should_exit = self.force_exit = True
            return
        self._told = True
        # Not in a handler, which may have interrupted whoever holds a lock.
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        service = self._service
        running = service.running
        service.drain()
        with suppress(OSError):  # nobody reads it any more
            self._tell(f"ending: {len(running)} jobs are being made, and nothing more is taken")
        service.end_running(service.limits.end_seconds)
        if any(job.state == "done" for job in running):
            time.sleep(LINGER)
        self.should_exit = True


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM interrupt as Ctrl-C does, until `serve` takes both for itself.

    Nothing would be tidied up else; and what runs first in a container would not take it at all.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before anything else is begun.

    Raises:
        OSError: The address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(
            f"{host}:{port}: cannot be listened at ({reason}); give another --port"
        ) from error


def serve(service: Service, app: FastAPI, *, at: socket.socket, tell: Tell = print) -> None:
    """Serve until SIGINT or SIGTERM, and end the service.

    What is being made then may end, within the limits, and be fetched; what waits is cancelled.

    Args:
        service: Started.
        app: Its application.
        at: Where it listens.
        tell: Takes a line when the service listens, and when it ends.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # which anybody could send, to be taken for another
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    host, port = at.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        _Server(config, service, address=address, tell=tell).run(sockets=[at])
    finally:
        service.close()

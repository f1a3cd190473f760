"""Who comes in: hosts, origins, keys, kinds and sizes of what is sent, before any route."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stable_audio_open.service.http.keys import Keys
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.problems import Problem

CLIENT = "stable_audio_open.client"
"""Key of a scope: the name of who asks."""
TOO_LARGE = 413
SAFE = ("GET", "HEAD", "OPTIONS")
OPEN = ("/health",)
"""Paths that need no key."""
SOUNDS = "/v1/sounds"
API = "/v1/"
BINARY = "application/octet-stream"
PATIENCE = 120.0
NO_STORE = (b"cache-control", b"no-store")
NO_SNIFF = (b"x-content-type-options", b"nosniff")


class Refusal(Exception):
    """A request that no route sees."""

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()):
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Gate:
    """Lets in what comes from here, with a key, of a kind and size that is taken.

    It stands before all routes, those of the page among them. Names of hosts are checked since a
    site may have its own name lead to this machine (DNS rebinding); addresses are what they say.
    What changes something has no origin, or this one, since browsers send forms of any site.

    Args:
        app: What is behind it.
        limits: How many bytes are taken.
        keys: Who may come in; None lets in everybody, told apart by their addresses.
        hosts: Names of this machine, beside `localhost` and its own.
        patience: Seconds in which a body has to come.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        keys: Keys | None,
        hosts: Collection[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self._app = app
        self._limits = limits
        self._keys = keys
        self._patience = patience
        self._hosts = {"localhost", socket.gethostname().lower(), *map(str.lower, hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI wants it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            most = self._admit(scope)
        except Refusal as refusal:
            await _refuse(scope, refusal, send)
            return

        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), NO_SNIFF]
            await send(message)

        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._app(scope, _counted(receive, most, self._patience), send_closed)

    def _admit(self, scope: Scope) -> int:
        """Check the head of a request, note who asks, and return how many bytes it may send.

        Raises:
            Refusal: It is not let in.
        """
        headers = _Headers.of(scope)
        host = headers.one("host")
        if _name(host) is None or not self._is_ours(_name(host) or ""):
            raise Refusal(HTTPStatus.FORBIDDEN, f"this is no host called {host!r:.100}")
        method = scope.get("method", "GET")
        path = scope["path"]
        if method not in SAFE or scope["type"] == "websocket":
            self._check_origin(headers, host)
        scope[CLIENT] = self._client(scope, headers, path)
        if not path.startswith(API):
            return self._limits.sound_bytes
        if method in SAFE or method == "DELETE":
            return 0
        return self._check_kind(headers, path)

    def _is_ours(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return True

    def _check_origin(self, headers: "_Headers", host: str) -> None:
        if headers.one("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refusal(HTTPStatus.FORBIDDEN, "requests from other sites are not taken")
        origin = headers.one("origin")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(HTTPStatus.FORBIDDEN, "requests from other sites are not taken")

    def _client(self, scope: Scope, headers: "_Headers", path: str) -> str:
        if self._keys is None or path in OPEN:
            address = scope.get("client")
            return f"address {address[0] if address else 'unknown'}"
        name = self._keys.name_of(headers.one("authorization"))
        if name is None:
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "a key is needed; send it as Authorization: Bearer KEY",
                (
                    (b"www-authenticate", b'Bearer realm="stable-audio-open"'),
                    (b"www-authenticate", b'Basic realm="stable-audio-open", charset="UTF-8"'),
                ),
            )
        return f"key {name}"

    def _check_kind(self, headers: "_Headers", path: str) -> int:
        kind = headers.one("content-type").partition(";")[0].strip().lower()
        sound = path == SOUNDS
        if not (
            kind.startswith("audio/") or kind == BINARY if sound else kind == "application/json"
        ):
            wanted = f"audio/... or {BINARY}" if sound else "application/json"
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the content type must be {wanted}, got {kind!r:.100}",
            )
        most = self._limits.sound_bytes if sound else self._limits.body_bytes
        length = headers.one("content-length")
        if length.isascii() and length.isdecimal() and int(length[:20]) > most:
            raise Refusal(TOO_LARGE, _too_large(most))
        return most


class _Headers(NamedTuple):
    """Headers of a request, by their names in small letters."""

    values: dict[str, list[str]]

    @classmethod
    def of(cls, scope: Scope) -> "_Headers":
        values: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return cls(values)

    def one(self, name: str) -> str:
        """Return the value of a header, empty where it is not there.

        Raises:
            Refusal: It is there several times, of which others may take another one.
        """
        found = self.values.get(name, [""])
        if len(found) > 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the header {name} stands {len(found)} times")
        return found[0]


def _name(host: str) -> str | None:
    """Return the name in a header `Host`, without its port."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != host or "@" in host or parts.path:
        return None
    return parts.hostname


def _counted(receive: Receive, most: int, patience: float) -> Receive:
    """Return a `receive` that ends where more bytes come than are taken, or come too slowly."""
    taken, whole, end = 0, False, time.monotonic() + patience

    async def counted() -> Message:
        nonlocal taken, whole
        if whole:  # and what comes next is that the client has gone
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
        except TimeoutError as error:
            detail = f"the body was not there after {patience:g} seconds"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from error
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > most:
                raise HTTPException(TOO_LARGE, _too_large(most))
        return message

    return counted


def _too_large(most: int) -> str:
    return f"at most {most} bytes are taken here"


async def _refuse(scope: Scope, refusal: Refusal, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    status = HTTPStatus(refusal.status)
    problem = Problem(title=status.phrase, status=status, detail=str(refusal))
    body = msgspec.json.encode(problem.document())
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": int(status),
        "headers": [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            # What is left of the body is not read.
            (b"connection", b"close"),
            *(NO_SNIFF, NO_STORE),
            *refusal.headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})

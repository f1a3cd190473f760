"""A server of Freesound's API, as documented, of five sounds that are no sounds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.threaded import answering

KEY, TOKEN = "secret-key", "secret-token"
COUNT = 5


def mp3(number: int) -> bytes:
    return f"preview of {number}".encode() * 10


def wav(number: int) -> bytes:
    return f"original of {number}".encode() * 1000


class Server(ThreadingHTTPServer):
    """The documented API; the first of `faults` is what happens to a request instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Any] = []
        """(status, headers), `drop` (no answer) or `cut` (half of the body)."""
        self.asked: list[tuple[str, dict[str, list[str]], str | None]] = []
        """Path, query and authorization of every request."""
        self.removed: set[int] = set()
        self.replies: dict[str, tuple[int, dict[str, str], bytes]] = {}
        """Status, headers and body in place of the API's, by path."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sound(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "url": f"https://freesound.org/people/ann/sounds/{number}/",
            "name": f"sound {number}",
            "tags": ["kick"],
            "license": "http://creativecommons.org/publicdomain/zero/1.0/",
            "username": "ann",
            "type": "wav",
            "filesize": len(wav(number)),
            "previews": {"preview-hq-mp3": f"{self.url}/previews/{number}.mp3"},
        }


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.server.asked.append((parts.path, query, self.headers["Authorization"]))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "drop":
            self.close_connection = True
        elif isinstance(fault, tuple):
            self.answer({"detail": "not\nnow"}, *fault)
        else:
            self.route(parts.path, query, cut=fault == "cut")

    def route(self, path: str, query: dict[str, list[str]], cut: bool) -> None:
        if path in self.server.replies:
            status, headers, body = self.server.replies[path]
            return self.send(body, status, headers)
        words = path.strip("/").split("/")
        if words[0] == "previews":
            number = int(words[1].removesuffix(".mp3"))
            if number in self.server.removed:
                return self.answer({"detail": "Not found."}, 404)
            return self.send(mp3(number), cut=cut)
        if words[:2] == ["apiv2", "sounds"]:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self.answer({"detail": "Invalid token."}, 401)
            return self.send(wav(int(words[2])), cut=cut)
        if self.headers["Authorization"] != f"Token {KEY}":
            return self.answer({"detail": "Invalid token."}, 401)
        page, size = int(query["page"][0]), int(query["page_size"][0])
        numbers = range(1 + (page - 1) * size, min(COUNT, page * size) + 1)
        if not numbers:
            return self.answer({"detail": "Invalid page."}, 404)
        following = f"{self.server.url}{path}?page={page + 1}" if page * size < COUNT else None
        reply = {
            "count": COUNT,
            "next": following,
            "previous": None,
            "results": [self.server.sound(number) for number in numbers],
        }
        return self.send(json.dumps(reply).encode(), cut=cut)

    def answer(self, content: object, status: int, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(content).encode(), status, headers)

    def send(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)


@contextmanager
def served() -> Iterator[Server]:
    """Serve until the end of the block."""
    server = Server()
    with answering(server):
        yield server

"""What comes in, and what does not: before any route is asked, and for whatever is mounted."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stable_audio_open.service.http.gate import CLIENT, Gate
from stable_audio_open.service.http.keys import Keys
from stable_audio_open.service.limits import Limits
from tests.service.http.calls import call, problem

KEYS = Keys({"ann": "correct horse battery"})


async def echo(request: Request) -> PlainTextResponse:
    content = await request.body()
    return PlainTextResponse(f"{request.scope[CLIENT]}: {len(content)}")


def gate(keys: Keys | None = None, **limits: Any) -> Gate:
    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "DELETE"])])
    return Gate(app, limits=Limits(**limits), keys=keys, hosts=["Studio.example"])


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7860", "127.0.0.1", "[::1]:80", "10.0.0.7:7860", "studio.example"],
)
def test_own_names_and_addresses_are_taken(host: str) -> None:
    assert call(gate(), "GET", "/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "a@localhost",
        "localhost:x",
        "localhost/../",
        "127.0.0.1.nip.io",
    ],
)
def test_other_names_are_not(host: str) -> None:
    response = call(gate(), "GET", "/", headers={"host": host})
    assert response.status_code == 403
    assert "this is no host called" in problem(response)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1234"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_change_nothing(headers: dict[str, str]) -> None:
    assert call(gate(), "GET", "/x", headers=headers).status_code == 200
    response = call(gate(), "POST", "/x", headers=headers, content=b"x")
    assert response.status_code == 403
    assert problem(response)["detail"] == "requests from other sites are not taken"


def test_the_own_site_may() -> None:
    headers = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert call(gate(), "POST", "/x", headers=headers, content=b"x").text.endswith(": 1")


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
    ],
)
def test_what_forms_send_is_not_taken(kind: str) -> None:
    for path in ("/v1/generate", "/v1/sounds"):
        response = call(gate(), "POST", path, headers={"content-type": kind}, content=b"{}")
        assert response.status_code == 415
        assert "the content type must be" in problem(response)["detail"]


def test_kinds_that_are_taken() -> None:
    for path, kind in (
        ("/v1/generate", "application/json"),
        ("/v1/generate", "Application/JSON; charset=utf-8"),
        ("/v1/sounds", "audio/wav"),
        ("/v1/sounds", "application/octet-stream"),
    ):
        response = call(gate(), "POST", path, headers={"content-type": kind}, content=b"{}")
        assert response.status_code == 200


def test_bodies_are_bounded_whatever_they_say() -> None:
    app = gate(body_bytes=10, sound_bytes=20)
    json = {"content-type": "application/json"}
    assert call(app, "POST", "/v1/x", headers=json, content=bytes(10)).status_code == 200
    response = call(app, "POST", "/v1/x", headers=json, content=bytes(11))
    assert problem(response)["status"] == 413
    assert "at most 10 bytes" in response.text

    async def pieces() -> Any:
        for _ in range(5):
            yield bytes(3)

    assert call(app, "POST", "/v1/x", headers=json, content=pieces()).status_code == 413
    wav = {"content-type": "audio/wav"}
    assert call(app, "POST", "/v1/sounds", headers=wav, content=bytes(20)).status_code == 200
    assert call(app, "POST", "/v1/sounds", headers=wav, content=bytes(21)).status_code == 413
    assert call(app, "POST", "/page", content=bytes(21)).status_code == 413
    assert call(app, "DELETE", "/v1/x", content=bytes(1)).status_code == 413


def test_bodies_that_do_not_come_are_not_waited_for() -> None:
    async def slowly() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    app = Starlette(routes=[Route("/{path:path}", echo, methods=["POST"])])
    impatient = Gate(app, limits=Limits(), keys=None, patience=0.01)
    response = call(
        impatient, "POST", "/v1/x", headers={"content-type": "application/json"}, content=slowly()
    )
    assert response.status_code == 408
    assert "the body was not there after 0.01 seconds" in response.text


def test_keys_open_everything_but_health() -> None:
    app = gate(KEYS)
    for path in ("/v1/models", "/metrics", "/", "/page/upload", "/openapi.json", "/healthy"):
        response = call(app, "GET", path)
        assert response.status_code == 401
        assert "a key is needed" in problem(response)["detail"]
        assert response.headers.get_list("www-authenticate")[0].startswith("Bearer")
    assert call(app, "GET", "/health").status_code == 200
    key = {"authorization": "Bearer correct horse battery"}
    assert call(app, "GET", "/", headers=key).text == "key ann: 0"


def test_without_keys_addresses_tell_clients_apart() -> None:
    assert call(gate(), "GET", "/", address="10.0.0.1").text == "address 10.0.0.1: 0"
    assert call(gate(), "GET", "/", address="::1").text == "address ::1: 0"


def test_a_header_that_stands_twice_is_refused() -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    response = call(gate(), "GET", "/", headers=headers)
    assert response.status_code == 400
    assert problem(response)["detail"] == "the header host stands 2 times"


def test_answers_are_not_guessed_at() -> None:
    assert call(gate(), "GET", "/").headers["x-content-type-options"] == "nosniff"
    assert call(gate(KEYS), "GET", "/").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "answers"),
    [
        ({"host": "localhost"}, []),
        ({"host": "evil.example"}, [{"type": "websocket.close", "code": 1008}]),
        (
            {"host": "localhost", "origin": "https://evil.example"},
            [{"type": "websocket.close", "code": 1008}],
        ),
    ],
)
def test_sockets_stand_before_the_same_gate(headers: dict[str, str], answers: list[Any]) -> None:
    seen, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[CLIENT])

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/queue",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(Gate(app, limits=Limits(), keys=None)(scope, receive, send))
    assert sent == answers
    assert seen == ([] if answers else ["address 127.0.0.1"])

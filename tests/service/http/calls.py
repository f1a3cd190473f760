"""Requests to an application in this process."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI

from stable_audio_open.service.service import Service


def call(app: Any, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request and wait for the whole answer."""
    options.setdefault("headers", {})
    address = options.pop("address", "127.0.0.1")
    base = options.pop("base_url", "http://localhost")

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(
            app=app, client=(address, 50000), raise_app_exceptions=False
        )
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return a problem document, which is whole."""
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == response.status_code
    assert {"type", "title", "detail"} <= found.keys()
    return found


def make(app: FastAPI, service: Service, path: str = "generate", **body: Any) -> str:
    """Ask for a sound, and return the id of its job once it has ended."""
    default = {} if path == "reconstruct" else {"prompt": "kick", "steps": 1}
    response = call(app, "POST", f"/v1/{path}", json={**default, **body})
    assert response.status_code == 202, response.text
    id = response.json()["id"]
    assert response.headers["location"] == f"/v1/jobs/{id}"
    service.job(id, client="address 127.0.0.1").wait()
    return str(id)

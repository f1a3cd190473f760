"""Chromium, and services that listen with their page."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from stable_audio_open.service.http.app import create_app
from stable_audio_open.service.service import Service
from tests.service.page.browser import READY

CHROMIUM = shutil.which("chromium")


@contextmanager
def listening(service: Service, **options: Any) -> Iterator[str]:
    """Have a service that has started listen, with its page; give its address.

    Options are those of `create_app`.
    """
    # Gradio takes three seconds, which no other test should wait for.
    from stable_audio_open.service.page.build import mount_page

    app = mount_page(create_app(service, **options), service)
    at = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{at.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Address of a service of the bundled model, which is in a process of its own."""
    with Service(devices=("cpu",)) as service, listening(service) as at:
        yield at


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A new user's page, which asks no other host for anything and has no errors."""
    with opened(browser, address) as found:
        yield found


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A new user's page, which asks no other host for anything and has no errors.

    Options are those of a context of the browser.
    """
    usual = {"viewport": {"width": 1200, "height": 1000}, "accept_downloads": True}
    context = browser.new_context(**{**usual, **options})
    asked, errors = set[str](), list[str]()
    found = context.new_page()
    found.on("request", lambda request: asked.add(request.url))
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(address)
    found.get_by_label("Prompt", exact=True).first.wait_for(timeout=READY)
    try:
        yield found
    finally:
        context.close()
    strangers = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert (strangers, errors) == ([], [])

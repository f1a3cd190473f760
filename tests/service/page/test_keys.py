"""The page behind keys: a browser asks for name and secret, and sends them with everything."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from stable_audio_open.service.http.keys import Keys
from stable_audio_open.service.models import ServedModels
from stable_audio_open.service.service import Service
from tests.service.conftest import in_thread
from tests.service.page.browser import download, fill, press, wait_for
from tests.service.page.conftest import listening, opened

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
SECRETS = {"ann": "correct horse battery", "bob": "staple of another"}


@pytest.fixture(scope="module")
def service(small_models: ServedModels) -> Iterator[Service]:
    with Service(small_models, devices=("cpu",), start_worker=in_thread) as started:
        yield started


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    with listening(service, keys=Keys(SECRETS)) as at:
        yield at


def logged_in(name: str, secret: str | None = None) -> dict[str, Any]:
    """Options of a context whose user answers the browser's question."""
    return {"http_credentials": {"username": name, "password": secret or SECRETS[name]}}


def make(page: Any, *, seed: str) -> Any:
    """Make a sound; return its samples."""
    fill(page, prompt="bell", seconds="0.5", steps="1", seed=seed)
    press(page, "Make")
    assert wait_for(page, f"seed {seed}") == f"0.50 s, seed {seed}"
    return download(page)[0]


def test_a_key_is_enough_for_all_that_the_page_asks(
    browser: Any, address: str, service: Service
) -> None:
    with opened(browser, address, **logged_in("ann")) as page:
        refused = []
        page.on("response", lambda one: refused.append(one.url) if one.status > 399 else None)
        samples = make(page, seed="1")
        assert samples.shape == (8000, 2)
        page.wait_for_function("document.querySelector('img[alt=\"Mel spectrogram\"]').complete")
        press(page, "As FLAC")
        page.get_by_text("flac", exact=False).first.wait_for()
        assert refused == []
    (job,) = service.jobs(client="key ann")
    assert job.request.arguments["seed"] == 1
    assert service.jobs(client="key bob") == []


@pytest.mark.parametrize(
    "options", [{}, logged_in("ann", "wrong horse battery"), logged_in("bob", SECRETS["ann"])]
)
def test_without_one_there_is_no_page_and_no_sound(
    browser: Any, address: str, service: Service, options: dict[str, Any]
) -> None:
    with opened(browser, address, **logged_in("ann")) as page:
        make(page, seed="2")
        found = page.locator("a[download]").locator("visible=true").last.get_attribute("href")
    before = len(service.jobs(client="key ann"))
    context = browser.new_context(**options)
    page = context.new_page()
    try:
        answer = page.goto(address)
        assert answer.status == 401
    except playwright.Error as error:  # Chromium gives up on credentials that were refused
        assert "ERR_INVALID_AUTH_CREDENTIALS" in str(error)  # noqa: PT017
    assert page.get_by_role("button", name="Make").count() == 0
    start = f"{address}/page/gradio_api"
    for url in (found, f"{start}/info", f"{start}/queue/data?session_hash=x", f"{address}/page/"):
        assert context.request.get(url).status == 401
    sent = context.request.post(f"{start}/queue/join", data={"data": [], "fn_index": 0})
    assert sent.status == 401
    assert context.request.post(f"{address}/v1/generate", data={"prompt": "bell"}).status == 401
    context.close()
    assert len(service.jobs(client="key ann")) == before


def test_users_with_keys_see_nothing_of_each_other(browser: Any, address: str) -> None:
    with (
        opened(browser, address, **logged_in("ann")) as ann,
        opened(browser, address, **logged_in("bob")) as bob,
    ):
        first, second = make(ann, seed="3"), make(bob, seed="4")
        assert first.tobytes() != second.tobytes()
        for page, seed in ((ann, "seed 3"), (bob, "seed 4")):
            listed = page.get_by_label("Earlier sounds of this session")
            assert seed in listed.input_value()
            listed.click()
            playwright.expect(page.get_by_role("option")).to_have_count(1)


def test_other_sites_cannot_use_what_a_browser_knows(browser: Any, address: str) -> None:
    """A browser sends name and secret with what other pages ask of this one, too."""
    word = base64.b64encode(f"ann:{SECRETS['ann']}".encode()).decode()
    context = browser.new_context()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = context.request.post(
            f"{address}/page/gradio_api/queue/join",
            data={"data": [], "fn_index": 0},
            headers={"authorization": f"Basic {word}", **headers},
        )
        assert answer.status == 403
    context.close()

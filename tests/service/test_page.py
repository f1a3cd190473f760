"""The page in a real browser, on the bundled model in a process of its own."""

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn

from stable_audio_open.cli.main import main
from stable_audio_open.service.http.app import create_app
from stable_audio_open.service.page.asking import sound_request, spans_of
from stable_audio_open.service.page.build import mount_page
from stable_audio_open.service.problems import InvalidError
from stable_audio_open.service.service import Service

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt install chromium")
FOREVER = "500"
HOSTILE = "<img src=x onerror='window.hit=1'> ;rm -rf ~ ../../etc 🥁"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a service with its page listens."""
    with Service(devices=("cpu",)) as service:
        app = mount_page(create_app(service), service)
        at = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{at.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A new user's page, which asks no other host for anything and has no errors."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000}, accept_downloads=True)
    asked, errors = set[str](), list[str]()
    found = context.new_page()
    found.on("request", lambda request: asked.add(request.url))
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(address)
    found.get_by_label("Prompt", exact=True).first.wait_for(timeout=120_000)
    yield found
    context.close()
    strangers = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert (strangers, errors) == ([], [])


def fill(page: Any, **values: str) -> None:
    labels = {"prompt": "Prompt", "seconds": "Seconds", "steps": "Steps", "seed": "Seed"}
    for name, value in values.items():
        if name in ("steps", "seed") and not field(page, "Steps").is_visible():
            page.get_by_role("button", name=re.compile("^Settings")).locator("visible=true").click()
        # What has just been opened may be drawn once more, empty, after it is first there.
        for _ in range(10):
            field(page, labels[name]).fill(value)
            page.wait_for_timeout(200)
            if field(page, labels[name]).input_value() == value:
                break


def field(page: Any, label: str) -> Any:
    return page.get_by_label(label, exact=True).locator("visible=true").first


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def wait_for(page: Any, words: str) -> str:
    """Wait until the line says something; return it."""
    line = page.locator(".status textarea")
    try:
        page.wait_for_function(
            "words => new RegExp(words).test(document.querySelector('.status textarea').value)",
            arg=words,
            timeout=180_000,
        )
    except playwright.TimeoutError as error:
        inputs = page.locator("input, textarea").evaluate_all("all => all.map(one => one.value)")
        raise AssertionError(f"{line.input_value()!r}, with {inputs}") from error
    return str(line.input_value())


def download(page: Any) -> tuple[np.ndarray[Any, Any], int]:
    with page.expect_download() as waiting:
        page.locator("a[download]").locator("visible=true").last.click()
    samples, rate = soundfile.read(waiting.value.path())
    return samples, rate


@pytest.mark.slow
@needs_browser
class TestInABrowser:
    def test_a_sound_is_that_of_the_command_line(
        self, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(page, prompt="tabla", seconds="1", steps="3", seed="7")
        press(page, "Make")
        assert wait_for(page, "seed") == "1.00 s, seed 7"
        samples, rate = download(page)
        monkeypatch.chdir(tmp_path)
        options = ["--duration", "1", "--steps", "3", "--seed", "7", "--output", "x.wav"]
        assert main(["generate", "tabla", *options]) == 0
        expected, expected_rate = soundfile.read("x.wav")
        assert rate == expected_rate
        np.testing.assert_allclose(samples, expected, atol=1e-4)

    def test_a_prompt_is_text_whatever_it_holds(self, page: Any) -> None:
        fill(page, prompt=HOSTILE, seconds="0.5", steps="1", seed="1")
        press(page, "Make")
        wait_for(page, "seed 1")
        earlier = page.get_by_label("Earlier sounds of this session").input_value()
        assert earlier.startswith(f"Text: {HOSTILE[:40]}")
        assert page.evaluate("window.hit") is None

    def test_cancelling(self, page: Any) -> None:
        fill(page, prompt="tabla", steps=FOREVER)
        press(page, "Make")
        wait_for(page, "step")
        press(page, "Cancel")
        assert wait_for(page, "cancelled") == "cancelled: cancelled by who asked for it"

    def test_mistakes_are_told_in_a_line(self, page: Any) -> None:
        fill(page, prompt="tabla", steps="many")
        press(page, "Make")
        assert wait_for(page, "must") == "steps must be a whole number, got 'many'"

    def test_a_variation_needs_a_sound(self, page: Any) -> None:
        page.get_by_role("tab", name="Variation").click()
        fill(page, prompt="tabla")
        press(page, "Make")
        assert wait_for(page, "sound") == "there is no sound yet; send one, or record it"

    def test_a_span_that_is_drawn_is_made_anew_and_nothing_else(
        self, page: Any, tmp_path: Path
    ) -> None:
        time = np.arange(44100 * 2)[:, None] / 44100
        sound = 0.4 * np.exp(-time) * np.sin(2 * np.pi * np.array([220.0, 221.0]) * time)
        soundfile.write(tmp_path / "sound.wav", sound, 44100, subtype="PCM_24")
        page.get_by_role("tab", name="Inpainting").click()
        page.locator("input[type=file]").last.set_input_files(tmp_path / "sound.wav")
        canvas = page.locator(".spans canvas")
        page.wait_for_function("document.querySelector('.spans canvas').dataset.seconds == 2")
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
        page.mouse.up()
        spans = page.locator(".spans-field textarea, .spans-field input").first
        playwright.expect(spans).to_have_value(re.compile("-"))
        ((start, end),) = spans_of(spans.input_value())
        assert abs(start - 0.5) < 0.01
        assert abs(end - 1.0) < 0.01
        # By keyboard: the same field.
        spans.fill("0.5-1.0")
        fill(page, prompt="tabla", steps="2", seed="1")
        press(page, "Make")
        wait_for(page, "seed 1")
        samples, _ = download(page)
        outside = np.r_[0:22050, 44100 : len(sound)]
        np.testing.assert_allclose(samples[outside], sound[outside], atol=1e-6)
        assert not np.allclose(samples[22050:44100], sound[22050:44100], atol=1e-3)

    def test_settings_are_used_again(self, page: Any) -> None:
        fill(page, prompt="tabla", seconds="0.5", steps="1", seed="5")
        press(page, "Make")
        wait_for(page, "seed 5")
        fill(page, prompt="bell", seed="6")
        press(page, "Use its settings again")
        playwright.expect(field(page, "Prompt")).to_have_value("tabla")
        playwright.expect(field(page, "Seed")).to_have_value("5")

    def test_others_see_nothing_of_it(self, page: Any, browser: Any, address: str) -> None:
        fill(page, prompt="secret", seconds="0.5", steps="1", seed="1")
        press(page, "Make")
        wait_for(page, "seed 1")
        other = browser.new_page()
        other.goto(address)
        earlier = other.get_by_label("Earlier sounds of this session")
        earlier.wait_for(timeout=120_000)
        assert earlier.input_value() == ""
        earlier.click()
        assert "secret" not in other.content()
        other.close()

    def test_it_fits_a_telephone(self, page: Any) -> None:
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
        fill(page, prompt="tabla", steps="1")


@pytest.mark.parametrize(
    ("text", "spans"),
    [("0.5-0.9", [(0.5, 0.9)]), (" 1 - 2 ,3-4.5,", [(1.0, 2.0), (3.0, 4.5)])],
)
def test_spans_as_they_are_written(text: str, spans: list[tuple[float, float]]) -> None:
    assert spans_of(text) == spans


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "spans: '1' is no span; write FROM-TO in seconds, such as 0.5-0.9"),
        ("a-b", "spans: 'a-b' is no span; write FROM-TO in seconds, such as 0.5-0.9"),
        (" , ", "spans: none is marked; draw one, or write 0.5-0.9"),
    ],
)
def test_what_is_no_span(text: str, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        spans_of(text)
    assert str(caught.value) == message


def test_what_is_left_empty_is_the_models() -> None:
    values = {"prompt": "rain", "steps": "", "seed": "3", "duration": "1.5", "model": "tiny"}
    request = sound_request("generate", values | {"init_audio": None}, sounds={})
    assert request.arguments == {"prompt": "rain", "seed": 3, "duration": 1.5}
    assert (request.model, request.adapters) == ("tiny", ())


def test_an_adapter_goes_with_its_weight() -> None:
    values = {"prompt": "rain", "adapter": "drums", "adapter_weight": "0.5"}
    request = sound_request("generate", values, sounds={"init_audio": "x"}, preview_every=3)
    assert request.adapters == (("drums", 0.5),)
    assert request.arguments == {"prompt": "rain"}
    assert (request.sounds, request.preview_every) == ({"init_audio": "x"}, 3)

"""How the page looks, in a light theme and a dark one; spans by keyboard; examples."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from transformers import PreTrainedTokenizerBase

from stable_audio_open.conditioning.text import TextConditioner
from stable_audio_open.pretrained import StableAudio
from tests.service.page.browser import field, fill, press, wait_for
from tests.service.page.conftest import opened

playwright = pytest.importorskip("playwright.sync_api")
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
PIXEL = """(place) => {
  const canvas = document.querySelector(".spans canvas");
  const back = getComputedStyle(canvas).backgroundColor.match(/\\d+/g).map(Number);
  const [r, g, b, a] = canvas.getContext("2d").getImageData(...place, 1, 1).data;
  return [r, g, b].map((value, i) => value * a / 255 + back[i] * (1 - a / 255));
}"""
"""A colour of the canvas, over its background."""
BESIDE, INSIDE = (700, 8), (340, 8)
"""Places of the canvas where no wave is, at 1.6 s and in 0.5 to 1 s."""
EDGE = (225, 8)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    with opened(browser, address, color_scheme=request.param) as found:
        found.scheme = request.param
        yield found


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Two seconds at half of full scale."""
    time = np.arange(88200)[:, None] / 44100
    samples = 0.5 * np.sin(2 * np.pi * np.array([220.0, 220.0]) * time)
    soundfile.write(tmp_path / "sound.wav", samples, 44100)
    return tmp_path / "sound.wav"


def luminance(page: Any, place: tuple[int, int]) -> float:
    """Relative luminance of a place of the canvas (WCAG 2)."""
    values = np.array(page.evaluate(PIXEL, list(place))) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(page: Any, one: tuple[int, int], other: tuple[int, int]) -> float:
    low, high = sorted((luminance(page, one), luminance(page, other)))
    return (high + 0.05) / (low + 0.05)


def draw_sound(page: Any, sound: Path) -> Any:
    """Open a sound to be inpainted; return the field of the spans."""
    page.get_by_role("tab", name="Inpainting").click()
    page.locator("input[type=file]").last.set_input_files(sound)
    page.wait_for_function("document.querySelector('.spans canvas').dataset.seconds == 2")
    return page.locator(".spans-field textarea, .spans-field input").first


@pytest.mark.slow
class TestInABrowser:
    def test_every_text_can_be_read(self, page: Any, sound: Path) -> None:
        is_dark = page.evaluate("document.body.classList.contains('dark')")
        assert is_dark == (page.scheme == "dark")
        fill(page, steps="1", prompt="tabla", seconds="0.5", seed="1")
        assert page.evaluate(CONTRAST) == []
        press(page, "Make")
        wait_for(page, "seed 1")
        assert page.evaluate(CONTRAST) == []
        draw_sound(page, sound)
        assert page.evaluate(CONTRAST) == []

    def test_spans_stand_out(self, page: Any, sound: Path) -> None:
        spans = draw_sound(page, sound)
        plain = luminance(page, INSIDE)
        spans.fill("0.5-1.0")
        page.wait_for_function(
            "() => document.querySelector('.spans canvas').dataset.spans === '0.5-1'"
        )
        assert spans.input_value() == "0.5-1.0"
        assert luminance(page, INSIDE) != plain
        assert luminance(page, BESIDE) == plain
        assert contrast(page, EDGE, BESIDE) > 3
        assert contrast(page, EDGE, INSIDE) > 3

    def test_spans_follow_a_change_of_the_theme(self, page: Any, sound: Path) -> None:
        spans = draw_sound(page, sound)
        spans.fill("0.5-1.0")
        page.wait_for_function(
            "() => document.querySelector('.spans canvas').dataset.spans === '0.5-1'"
        )
        before = page.evaluate(PIXEL, list(INSIDE))
        page.evaluate("document.body.classList.toggle('dark')")
        page.wait_for_function(
            f"before => String(({PIXEL})([{INSIDE[0]}, {INSIDE[1]}])) !== String(before)",
            arg=before,
        )

    def test_spans_are_written_by_keyboard(self, page: Any, sound: Path) -> None:
        draw_sound(page, sound).focus()
        page.keyboard.type("0.5-1.0, 1.2-1.4")
        page.wait_for_function(
            "() => document.querySelector('.spans canvas').dataset.spans === '0.5-1, 1.2-1.4'"
        )

    def test_examples_fill_the_form(self, page: Any) -> None:
        page.get_by_text(re.compile("drum cymbal soft")).locator("visible=true").first.click()
        playwright.expect(field(page, "Prompt")).to_have_value("drum cymbal soft")
        playwright.expect(field(page, "Seconds")).to_have_value("2")
        page.get_by_role("tab", name="Loop").click()
        page.get_by_text(re.compile("loop amen")).locator("visible=true").first.click()
        playwright.expect(field(page, "Prompt")).to_have_value("loop amen")
        playwright.expect(field(page, "Beats per minute")).to_have_value("120")


@pytest.mark.slow
def test_examples_are_words_that_the_bundled_model_knows() -> None:
    text = StableAudio.from_pretrained("tiny", device="cpu").conditioner.texts["prompt"]
    assert isinstance(text, TextConditioner)
    tokenizer = text.tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    assert len(tokenizer.tokenize("xylophonist")) > 1
    # Gradio takes three seconds to import.
    from stable_audio_open.service.page.examples import LOOPS, PROMPTS, TEXTS

    for one in (*TEXTS, *LOOPS, *PROMPTS):
        for word in one["prompt"].split():  # others are spelt in pieces
            assert len(tokenizer.tokenize(word)) == 1, word

"""The page in a real browser, on the bundled model in a process of its own."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stable_audio_open.cli.main import main
from stable_audio_open.service.page.asking import spans_of
from tests.service.page.browser import READY, download, field, fill, press, wait_for

playwright = pytest.importorskip("playwright.sync_api")
FOREVER = "500"
HOSTILE = "<img src=x onerror='window.hit=1'> ;rm -rf ~ ../../etc 🥁"


@pytest.mark.slow
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

    def test_all_sounds_are_taken_along_at_once(self, page: Any) -> None:
        for seed in "12":
            fill(page, prompt="tabla", seconds="0.5", steps="1", seed=seed)
            press(page, "Make")
            wait_for(page, f"seed {seed}")
        press(page, "All as zip")
        with page.expect_download() as waiting:
            page.locator("a[download='sounds.zip']").locator("visible=true").first.click()
        with zipfile.ZipFile(waiting.value.path()) as archive:
            assert archive.namelist() == ["01.wav", "02.wav"]
            first, second = (archive.read(name) for name in archive.namelist())
        assert first[:4] == second[:4] == b"RIFF"
        assert first != second

    def test_others_see_nothing_of_it(self, page: Any, browser: Any, address: str) -> None:
        fill(page, prompt="secret", seconds="0.5", steps="1", seed="1")
        press(page, "Make")
        wait_for(page, "seed 1")
        other = browser.new_page()
        other.goto(address)
        earlier = other.get_by_label("Earlier sounds of this session")
        earlier.wait_for(timeout=READY)
        assert earlier.input_value() == ""
        earlier.click()
        assert "secret" not in other.content()
        other.close()

    def test_it_fits_a_telephone(self, page: Any) -> None:
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
        fill(page, prompt="tabla", steps="1")

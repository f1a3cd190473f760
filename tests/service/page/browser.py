"""What a user does on the page: fill in, press, wait, take along."""

import re
from typing import Any

import numpy as np
import soundfile

READY = 120_000
"""Milliseconds in which a page has to be there."""
MADE = 180_000
"""Milliseconds in which a sound has to be made, with what was asked for before it."""


def fill(page: Any, **values: str) -> None:
    """Fill in fields, each until it stays filled."""
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
    """Return the field of a label in the tab that is open."""
    return page.get_by_label(label, exact=True).locator("visible=true").first


def press(page: Any, name: str) -> None:
    """Press the button of a name in the tab that is open."""
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def wait_for(page: Any, words: str) -> str:
    """Wait until the line of the status says something; return it."""
    from playwright.sync_api import TimeoutError

    line = page.locator(".status textarea")
    try:
        page.wait_for_function(
            "words => new RegExp(words).test(document.querySelector('.status textarea').value)",
            arg=words,
            timeout=MADE,
        )
    except TimeoutError as error:
        inputs = page.locator("input, textarea").evaluate_all("all => all.map(one => one.value)")
        raise AssertionError(f"{line.input_value()!r}, with {inputs}") from error
    return str(line.input_value())


def download(page: Any) -> tuple[np.ndarray[Any, Any], int]:
    """Take along the sound that was made last: its samples and their rate."""
    with page.expect_download() as waiting:
        page.locator("a[download]").locator("visible=true").last.click()
    samples, rate = soundfile.read(waiting.value.path())
    return samples, rate

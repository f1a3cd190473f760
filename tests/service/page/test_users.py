"""Twenty users at once, each in a browser's context of their own."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import stable_audio_open
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.service import Service
from tests.service.conftest import FOREVER, endless
from tests.service.page.browser import MADE, download, fill, press, wait_for
from tests.service.page.conftest import listening, opened

pytestmark = pytest.mark.slow
USERS = 20
PROMPTS = ("tabla", "cowbell", "snare drum", "hi-hat")


@pytest.fixture
def service() -> Iterator[Service]:
    """A service at which all may wait, though they come from one address."""
    limits = Limits(steps=FOREVER, waiting_of_client=USERS)
    with Service(devices=("cpu",), limits=limits) as started:
        yield started


def prompt_of(seed: int) -> str:
    return f"{PROMPTS[seed % len(PROMPTS)]} of user {seed:02d}"


def test_twenty_at_once_get_their_own_sounds(
    service: Service, browser: Any, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        at = stack.enter_context(listening(service))
        pages = [stack.enter_context(opened(browser, at)) for _ in range(USERS)]
        for seed, page in enumerate(pages):
            steps = str(1 + seed % 2)
            fill(page, prompt=prompt_of(seed), seconds="0.5", steps=steps, seed=str(seed))
        # Until the last has asked, none is served.
        first = service.submit(endless(), client="another")
        while not service.running:
            time.sleep(0.01)
        for page in pages:
            press(page, "Make")
            wait_for(page, "asked for|place")
        assert service.waiting == USERS
        service.cancel(first.id, client="another")
        found = []
        for seed, page in enumerate(pages):
            assert wait_for(page, ", seed") == f"0.50 s, seed {seed}"
            found.append(download(page))
        for seed, page in enumerate(pages):
            listed = page.get_by_label("Earlier sounds of this session")
            assert listed.input_value() == f"Text: {prompt_of(seed)} (0.50 s, seed {seed})"
            listed.click()
            page.get_by_role("option").first.wait_for(timeout=MADE)
            assert page.get_by_role("option").count() == 1
            others = (prompt_of(other) for other in range(USERS) if other != seed)
            assert [one for one in others if one in page.content()] == []
    model = stable_audio_open.load("tiny")
    for seed, (samples, rate) in enumerate(found):
        alone = model.generate(
            prompt_of(seed), duration=0.5, steps=1 + seed % 2, seed=seed, progress=False
        )
        alone.save(tmp_path / f"{seed}.wav")
        expected, expected_rate = soundfile.read(tmp_path / f"{seed}.wav")
        assert rate == expected_rate
        np.testing.assert_allclose(samples, expected, atol=1e-4)
    distinct = {samples.tobytes() for samples, _ in found}
    assert len(distinct) == USERS

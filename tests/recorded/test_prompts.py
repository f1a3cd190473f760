"""Each item's tags hold what that item was made from."""

from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.prompts import in_words, prompts_of_items

MIXED = [("rain", 0.7), ("fire", 0.3)]
CHANGING = [(0, "rain"), (1, "storm")]


@pytest.mark.parametrize(
    ("prompt", "items", "expected"),
    [
        ("rain", 2, ["rain", "rain"]),
        (["rain"], 2, ["rain", "rain"]),
        (["rain", "fire"], 2, ["rain", "fire"]),
        (MIXED, 1, [MIXED]),
        (MIXED, 2, [MIXED, MIXED]),
        (MIXED[:1], 1, [MIXED[:1]]),
        (tuple(MIXED), 2, [tuple(MIXED)] * 2),
        (CHANGING, 1, [CHANGING]),
        (CHANGING, 2, [CHANGING, CHANGING]),
        ([CHANGING, "fire"], 2, [CHANGING, "fire"]),
        ([MIXED, MIXED], 2, [MIXED, MIXED]),
        ([MIXED], 3, [MIXED, MIXED, MIXED]),
        (["rain", MIXED, CHANGING], 3, ["rain", MIXED, CHANGING]),
    ],
)
def test_items_have_their_own_prompt(prompt: Any, items: int, expected: list[Any]) -> None:
    assert list(prompts_of_items(prompt, items)) == expected


def test_prompts_are_told_in_words() -> None:
    assert in_words("rain") == "rain"
    assert in_words(MIXED) == '[["rain", 0.7], ["fire", 0.3]]'
    assert in_words(CHANGING) == '[[0, "rain"], [1, "storm"]]'


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


def told(audio: Any) -> list[object]:
    return [tags["prompt"] for tags in audio.tags]


def test_sounds_on_the_way_tell_their_share(model: StableAudio) -> None:
    options: dict[str, Any] = {"steps": 1, "duration": 0.1, "progress": False}
    assert told(model.interpolate(("kick", "bell"), count=5, **options)) == [
        "kick",
        '[["kick", 0.75], ["bell", 0.25]]',
        '[["kick", 0.5], ["bell", 0.5]]',
        '[["kick", 0.25], ["bell", 0.75]]',
        "bell",
    ]
    assert told(model.interpolate(("kick", "bell"), count=2, **options)) == ["kick", "bell"]
    assert told(model.interpolate("kick", count=3, seed=[1, 2], **options)) == ["kick"] * 3
    assert told(model.interpolate(("kick", "kick"), count=2, **options)) == ["kick"] * 2


def test_batches_tell_the_prompt_of_each_item(model: StableAudio) -> None:
    options: dict[str, Any] = {"steps": 1, "progress": False}
    sounds = (torch.zeros(2, 2, 8000), 16000)
    for prompt in ("kick", ["kick"], ["kick", "kick"]):
        assert told(model.inpaint(sounds, prompt, spans=[(0.1, 0.2)], **options)) == ["kick"] * 2
    assert told(model.generate([("kick", 1.0)], **options)) == ['[["kick", 1.0]]']
    two = model.generate([[(0, "kick"), (0.5, "bell")], "snare"], **options)
    assert told(two) == ['[[0, "kick"], [0.5, "bell"]]', "snare"]

"""Prompts that change along the way."""

import re
from typing import Any

import pytest
import torch

from stable_audio_open.editing.timeline import (
    check_timelines,
    first_prompts,
    has_timeline,
    is_timeline,
    presences,
    prompts_at,
)
from stable_audio_open.request.given_prompts import Weighted

pytestmark = pytest.mark.numerical


def test_what_is_a_timeline() -> None:
    assert is_timeline([(0, "rain"), (30.5, "storm")])
    assert is_timeline(((0, "rain"),))
    assert is_timeline([[0, "rain"], [3, "storm"]])
    for other in ("rain", ["rain", "storm"], [("rain", 0.7), ("fire", 0.3)], [], [(0, 1)], 3):
        assert not is_timeline(other)
        assert not has_timeline(other)
    assert has_timeline(["rain", [(0, "rain"), (3, "storm")]])


def only(text: str) -> tuple[Weighted, ...]:
    return (Weighted(text, 1.0),)


def test_each_item_has_its_timeline() -> None:
    given = ["rain", [(0, "fire"), (3, "storm")]]
    found = check_timelines(given, duration=5)
    assert found == [[(0.0, only("rain"))], [(0, only("fire")), (3, only("storm"))]]
    assert check_timelines([(0, "fire"), (3, "storm")], duration=5) == found[1:]
    assert check_timelines("rain", duration=5) == found[:1]
    assert prompts_at(found, 0) == [only("rain"), only("fire")]
    assert prompts_at(found, 1) == [only("rain"), only("storm")]
    assert first_prompts(given) == ["rain", "fire"]
    assert first_prompts([(0, "fire"), (3, "storm")]) == ["fire"]


def test_mixtures_of_texts_are_items_too() -> None:
    mixture = [("rain", 3), ("fire", 1)]
    expected = (Weighted("rain", 0.75), Weighted("fire", 0.25))
    assert check_timelines(mixture, duration=5) == [[(0.0, expected)]]
    assert first_prompts(mixture) == mixture
    both = [mixture, [(0, "fire"), (3, "storm")]]
    assert check_timelines(both, duration=5)[0] == [(0.0, expected)]
    assert first_prompts(both) == [mixture, "fire"]


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        ([(1, "a")], "the first prompt must begin at 0 seconds, got 1; add (0, ...)"),
        (
            [(0, "a"), (2, "b"), (6, "c"), (7, "d")],
            "a prompt begins at 6 seconds, and the sound ends at 5; give an earlier time or a "
            "longer duration",
        ),
        (
            [(0, "a"), (2, " "), (3, "c")],
            "prompt at 2 seconds is empty; describe the sound in a few words",
        ),
        (
            [(0, "a"), ("2", "b"), (3, "c")],
            "prompt changes along the way, and its entry 2 must be (seconds, text), got ('2', 'b')",
        ),
        (
            ["a", [(0, "a"), (2, "b"), "c"]],
            "prompt changes along the way, and its entry 3 must be (seconds, text), got 'c'",
        ),
        (
            [(0, "a"), (2, 3)],
            "prompt changes along the way, and its entry 2 must be (seconds, text), got (2, 3)",
        ),
        (
            [(0, "a"), (3, "b"), (3, "c")],
            "prompts must begin one after the other, got 3 after 3 seconds",
        ),
        (
            [(0, "a"), (float("nan"), "b")],
            "prompts must begin one after the other, got nan after 0 seconds",
        ),
        (
            [(0, "a"), (5, "b")],
            "a prompt begins at 5 seconds, and the sound ends at 5; give an earlier time or a "
            "longer duration",
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_mistakes_are_told(timeline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_timelines(timeline, duration=5)


@pytest.mark.parametrize("ring", [False, True])
def test_presences_add_up_to_1_and_change_where_they_are_told_to(ring: bool) -> None:
    items = check_timelines(
        [[(0, "a"), (3, "b"), (3.2, "c")], [(0, "d")], [(0, "e"), (6, "f")]], duration=10
    )
    found = presences(items, frames=100, frame_seconds=0.1, crossfade=20, ring=ring)
    shares = torch.stack([share for share in found if share is not None])
    assert shares.shape == (3, 3, 1, 100)
    assert shares.min() > -1e-6
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(3, 1, 100))
    first, second, third = shares[:, 0, 0]
    # Of 0.2 seconds there are two frames, over which no longer crossfade fits.
    assert torch.equal(first[2:28], torch.ones(26))
    assert torch.equal(first[32:95], torch.zeros(63))
    assert second[31] > 0.4
    assert second[28:35].sum() == pytest.approx(2, abs=0.1)
    assert torch.equal(third[34:98], torch.ones(64))
    assert torch.equal(shares[0, 1, 0], torch.ones(100))
    # Twenty frames around the sixtieth; half and half there.
    last = shares[1, 2, 0]
    assert torch.equal(last[11:50], torch.zeros(39))
    assert torch.equal(last[70:89], torch.ones(19))
    assert float(last[59:61].mean()) == pytest.approx(0.5, abs=1e-6)


def test_on_a_ring_the_last_prompt_gives_way_to_the_first() -> None:
    items = check_timelines([(0, "a"), (5, "b")], duration=10)
    on_line, on_ring = (
        presences(items, frames=100, frame_seconds=0.1, crossfade=20, ring=ring)[0]
        for ring in (False, True)
    )
    assert on_line is not None
    assert on_ring is not None
    assert float(on_line[0, 0, 0]) == 1
    assert float(on_line[0, 0, -1]) == 0
    assert float(on_ring[0, 0, 0]) == pytest.approx(0.54, abs=0.05)
    assert float(on_ring[0, 0, -1]) == pytest.approx(0.46, abs=0.05)
    steps = torch.diff(torch.cat((on_ring[0, 0], on_ring[0, 0, :1]))).abs()
    assert float(steps.max()) < 0.1


def test_one_prompt_is_everywhere() -> None:
    items = check_timelines(["a", "b"], duration=10)
    assert presences(items, frames=9, frame_seconds=0.1, crossfade=2, ring=True) == [None]

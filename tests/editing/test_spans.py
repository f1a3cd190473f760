import re

import pytest
import torch

from stable_audio_open.editing.spans import (
    Span,
    check_spans,
    kept_frames,
    kept_parts,
    merged,
    place_window,
)


def test_spans_come_in_order_and_overlaps_are_merged() -> None:
    found = check_spans(
        [(2.0, 2.5), (0.5, 1.0), (0.8, 1.2), (1.2, 1.3)], samples=300, sample_rate=100
    )
    assert found == [Span(50, 130), Span(200, 250)]
    assert merged([Span(0, 100), Span(10, 20)]) == [Span(0, 100)]


def test_the_whole_sound_is_a_span() -> None:
    assert check_spans([(0, 3)], samples=300, sample_rate=100) == [Span(0, 300)]


@pytest.mark.parametrize(
    ("spans", "error", "fault"),
    [
        ([], ValueError, "spans is empty; give at least one (start, end) in seconds"),
        ([(1.0, 1.0)], ValueError, "end behind its start, got (1, 1)"),
        ([(-1.0, 1.0)], ValueError, "must start at 0 s or later"),
        ([(float("nan"), 1.0)], ValueError, "must start at 0 s or later"),
        ([(1.0, float("inf"))], ValueError, "got (1, inf)"),
        ([(1.0, 3.5)], ValueError, "span (1, 3.5) ends behind the sound, which is 3.000 s long"),
        ([(1.0, 1.001)], ValueError, "is shorter than a sample of 1/100 s"),
        (
            [(1.0, 2.0, 3.0)],
            TypeError,
            "must be pairs (start, end) in seconds, got (1.0, 2.0, 3.0)",
        ),
        (["ab"], TypeError, "must be pairs (start, end) in seconds, got 'ab'"),
        ([1.0], TypeError, "must be pairs (start, end) in seconds, got 1.0"),
    ],
)
def test_bad_spans_are_refused(
    spans: object, error: type[Exception], fault: str, types_unchecked: None
) -> None:
    with pytest.raises(error, match=re.escape(fault)):
        check_spans(spans, samples=300, sample_rate=100)  # type: ignore[arg-type]


def test_the_length_in_a_message_is_within_the_sound() -> None:
    with pytest.raises(ValueError, match=r"span \(1, 2\) ends behind the sound, which is 1.999 s"):
        check_spans([(1, 2)], samples=88199, sample_rate=44100)
    check_spans([(1, 1.999)], samples=88199, sample_rate=44100)


@pytest.mark.parametrize(
    ("spans", "start"),
    [
        ([Span(10, 20)], 0),
        ([Span(500, 520)], 460),
        ([Span(500, 520), Span(540, 560)], 480),
        ([Span(980, 1000)], 900),
        ([Span(500, 580)], 490),
    ],
)
def test_a_window_lies_around_the_spans(spans: list[Span], start: int) -> None:
    found = place_window(spans, samples=1000, window=100, hop=10)
    assert found == start
    assert found <= spans[0].start
    assert spans[-1].end <= found + 100


def test_a_short_sound_is_worked_on_from_its_start() -> None:
    assert place_window([Span(80, 90)], samples=100, window=100, hop=10) == 0


def test_the_end_of_a_sound_is_reached_though_it_is_no_multiple() -> None:
    assert place_window([Span(990, 1003)], samples=1003, window=100, hop=10) == 910


def test_spans_too_far_apart_are_refused() -> None:
    fault = "the spans reach over 160 samples, and the model works on 100 at once"
    with pytest.raises(ValueError, match=fault):
        place_window([Span(100, 110), Span(250, 260)], samples=1000, window=100, hop=10)


def test_frames_that_hold_any_of_a_span_are_generated() -> None:
    kept = kept_frames([Span(219, 240), Span(260, 261)], start=200, frames=10, hop=10)
    assert kept.tolist() == [1, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    kept = kept_frames([Span(219, 240)], start=200, frames=10, hop=10, margin=2)
    assert kept.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert torch.equal(kept_frames([Span(0, 50)], start=0, frames=5, hop=10), torch.zeros(5))


def test_parts_beside_spans() -> None:
    assert kept_parts([Span(0, 10), Span(20, 30)], samples=30) == [(0, 0), (10, 20), (30, 30)]

"""From what stands in a form to a request."""

import pytest

from stable_audio_open.service.page.asking import sound_request, spans_of
from stable_audio_open.service.problems import InvalidError


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

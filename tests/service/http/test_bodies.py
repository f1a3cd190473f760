"""Bodies are the arguments of Python: the same names, the same defaults."""

import json
import math
from inspect import Parameter, signature
from typing import Any

import msgspec
import pytest

from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.recorded import arguments_of
from stable_audio_open.service.http.bodies import (
    Asked,
    Extend,
    Finish,
    Generate,
    Inpaint,
    Reconstruct,
    Variation,
    arguments_of_body,
)
from stable_audio_open.service.requests import SoundRequest, argument_names

BODIES: tuple[type[Asked], ...] = (Generate, Inpaint, Extend, Reconstruct)


@pytest.mark.parametrize("body", BODIES)
def test_a_body_has_the_arguments_of_its_method(body: type[Asked]) -> None:
    assert arguments_of_body(body).keys() == set(argument_names(body.method))


@pytest.mark.parametrize("body", [Generate, Inpaint, Extend])
def test_defaults_are_those_of_the_method(body: type[Asked]) -> None:
    method = getattr(StableAudio, body.method)
    sampling = signature(StableAudio.generate).parameters
    own = signature(method).parameters
    for name, default in arguments_of_body(body).items():
        expected = own.get(name, sampling.get(name))
        assert expected is not None, name
        if expected.default is Parameter.empty:
            assert default is ..., name
        else:
            assert default == expected.default, name


def test_a_variation_is_a_generation_of_a_sound() -> None:
    assert arguments_of_body(Variation) == {**arguments_of_body(Generate), "init_audio": ...}
    assert Variation.method == "generate"


def test_finishing_has_the_steps_of_a_file() -> None:
    assert {name: field.default for name, field in Finish.model_fields.items()} == (
        msgspec.structs.asdict(Finishing())
    )


def test_what_is_left_out_is_left_to_the_method() -> None:
    request = Generate.model_validate({"prompt": "kick", "steps": 3, "fade": None}).request()
    assert request == SoundRequest(method="generate", arguments={"prompt": "kick", "steps": 3})


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("kick", "kick"),
        (["kick", "bell"], ["kick", "bell"]),
        ([["rain", 0.7], ["fire", 0.3]], [("rain", 0.7), ("fire", 0.3)]),
        ([[0, "rain"], [30, "storm"]], [(0, "rain"), (30, "storm")]),
        (["kick", [["rain", 1], ["fire", 2]]], ["kick", [("rain", 1), ("fire", 2)]]),
    ],
)
def test_prompts_have_all_forms(given: Any, taken: Any) -> None:
    assert Generate.model_validate({"prompt": given}).request().arguments["prompt"] == taken


def test_what_json_has_no_word_for_is_said_otherwise() -> None:
    body = Generate.model_validate({"prompt": "kick", "guidance_interval": [0.5, None]})
    assert body.request().arguments["guidance_interval"] == (0.5, math.inf)
    json.dumps(Generate.model_json_schema(), allow_nan=False)


def test_everything_reaches_the_request() -> None:
    body = Inpaint.model_validate(
        {
            "audio": "abc",
            "prompt": "kick",
            "spans": [[0.5, 1]],
            "model": "tiny",
            "adapters": [{"name": "soft", "weight": 0.5}, {"name": "hard"}],
            "finish": {"peak": -1},
            "preview_every": 5,
            "guidance_scale": [[1, 3], [100, 7]],
            "guidance_interval": [0.5, 9],
            "negative_prompt": None,
        }
    )
    assert body.request() == SoundRequest(
        method="inpaint",
        arguments={
            "prompt": "kick",
            "spans": [(0.5, 1)],
            "guidance_scale": [(1, 3), (100, 7)],
            "guidance_interval": (0.5, 9),
        },
        sounds={"audio": "abc"},
        finishing=Finishing(peak=-1),
        model="tiny",
        adapters=(("soft", 0.5), ("hard", 1.0)),
        preview_every=5,
    )


def test_every_field_is_described() -> None:
    for body in BODIES:
        for name, field in body.model_fields.items():
            assert field.description, (body, name)
    assert math.isinf(arguments_of_body(Generate)["guidance_norm"])
    own = {"adapters"}  # a field of all bodies
    assert arguments_of(StableAudio.generate).keys() - own == arguments_of_body(Generate).keys()

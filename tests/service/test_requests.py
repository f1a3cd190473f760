"""What is asked for is checked before it waits, and the argument that is meant is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ModelFacts, Named, ServedModels, named
from stable_audio_open.service.problems import InvalidError
from stable_audio_open.service.requests import (
    SoundRequest,
    argument_names,
    check_sound_request,
    chosen_model,
    sound_names,
)

FACTS = ModelFacts(
    name="small",
    sample_rate=16000,
    channels=2,
    window_seconds=1.0,
    objective="v",
    conditions=(),
    steps=100,
    guidance_scale=7.0,
    sampler="dpmpp-2m",
    schedule="polyexponential",
    device="cpu",
    dtype="float32",
)
LIMITS = Limits(seconds=10, steps=200, items=2, texts=4, parts=8)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "secret_place"
    soundfile.write(path, np.zeros((16000, 2)), 16000, format="WAV")
    return path


def check(sound: Path | None = None, *, method: Any = "generate", **rest: Any) -> None:
    extra = {name: rest.pop(name) for name in SoundRequest.__struct_fields__ if name in rest}
    wanted = "audio" if method != "generate" else "init_audio"
    request = SoundRequest(
        method=method,
        arguments=rest,
        sounds={wanted: "id"} if sound else {},
        **extra,
    )
    sounds = {wanted: sound} if sound else {}
    check_sound_request(request, facts=FACTS, sounds=sounds, limits=LIMITS)


@pytest.mark.parametrize(
    ("field", "message", "arguments"),
    [
        ("prompt", "prompt is missing", {}),
        ("prompt", "prompt is empty", {"prompt": " "}),
        ("prompt", "prompt has 10000 characters", {"prompt": "x" * 10_000}),
        ("prompt", "holds what is no character", {"prompt": "\ud800"}),
        ("prompt", "for 3 sounds, at most 2", {"prompt": ["a", "b", "c"]}),
        ("prompt", "5 texts in all, at most 4", {"prompt": [(one, 1.0) for one in "abcde"]}),
        ("duration", "duration must be above 0", {"duration": -1}),
        ("duration", "duration must be a number", {"duration": "long"}),
        ("duration", "asks for 10.50 seconds in all", {"duration": 10.5}),
        ("duration", "asks for 12.00 seconds", {"prompt": ["a", "b"], "duration": [6, 6]}),
        ("duration", "asks for 12.00 seconds", {"prompt": ["a", "b"], "samples": 6 * 16000}),
        ("duration", "asks for 16.00 seconds", {"loop": True, "bars": 4, "bpm": 60}),
        ("steps", "steps must be an integer", {"steps": 1.5}),
        ("steps", "steps 201 are more than the 200", {"steps": 201}),
        ("sampler", "unknown sampler", {"sampler": "best"}),
        ("guidance_scale", "guidance.scale", {"guidance_scale": float("nan")}),
        (
            "guidance_scale",
            "9 entries, at most 8",
            {"guidance_scale": [(n, 1) for n in range(1, 10)]},
        ),
        ("seed", "seed must be between 0 and", {"seed": -1}),
        ("init_strength", "init_audio, which is missing", {"init_strength": 0.5}),
        ("init_audio", "must be the id of a sound", {"init_audio": "/etc/passwd"}),
        ("steps", "takes no argument 'stepz'; did you mean \"steps\"", {"stepz": 2}),
        ("preview_every", "preview_every must be at least 0", {"preview_every": -1}),
        ("adapters", "weight of a must be finite", {"adapters": (("a", float("inf")),)}),
        ("adapters", "adapters name 'a' twice", {"adapters": (("a", 1.0), ("a", 0.5))}),
        ("loop", "loop does not go with stream", {"stream": True, "loop": True}),
        ("prompt", "stream gives one sound", {"stream": True, "prompt": ["a", "b"]}),
        ("loop", "a loop has no end", {"loop": True, "finishing": Finishing(fade=1.0)}),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_mistakes_name_their_field(
    field: str | None, message: str, arguments: dict[str, Any]
) -> None:
    if field != "prompt":
        arguments = {"prompt": "kick", **arguments}
    with pytest.raises(InvalidError, match=message) as found:
        check(**arguments)
    assert found.value.problem.field == field


@pytest.mark.parametrize(
    ("method", "field", "message", "arguments"),
    [
        ("inpaint", "spans", "spans is missing", {"prompt": "a"}),
        ("inpaint", "spans", "span", {"prompt": "a", "spans": [(0.5, 2.0)]}),
        (
            "inpaint",
            "steps",
            "steps 100, 3 times each",
            {"prompt": "a", "spans": [(0.1, 0.2)], "resampling": 3},
        ),
        (
            "inpaint",
            "edges",
            "edges must be one of",
            {"prompt": "a", "spans": [(0.1, 0.2)], "edges": "x"},
        ),
        ("extend", "seconds", "seconds is missing", {"prompt": "a"}),
        ("extend", "seconds", "asks for 13.00 seconds", {"prompt": "a", "seconds": 12}),
        ("reconstruct", None, "reconstruct takes no argument 'prompt'", {"prompt": "a"}),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_mistakes_of_other_methods_name_their_field(
    sound: Path, method: str, field: str | None, message: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidError, match=message) as found:
        check(sound, method=method, **arguments)
    assert found.value.problem.field == field


def test_what_is_right_passes(sound: Path) -> None:
    check(prompt="kick")
    check(prompt=[(0, "kick"), (2, "bell")], duration=4.0, negative_prompt="hiss", fade=None)
    check(sound, prompt="kick", init_strength=0.5)
    check(sound, method="inpaint", prompt="kick", spans=[(0.2, 0.5)])
    check(sound, method="extend", prompt="kick", seconds=0.5, before=True)
    check(sound, method="reconstruct")


def test_no_message_tells_where_files_are(tmp_path: Path) -> None:
    path = tmp_path / "secret_place"
    path.write_bytes(b"RIFF")
    with pytest.raises(InvalidError) as found:
        check(path, method="reconstruct")
    assert str(found.value).startswith("audio: ")
    assert "secret_place" not in str(found.value)
    assert found.value.problem.field == "audio"


def test_sounds_are_told_from_values() -> None:
    assert sound_names("generate") == {"init_audio"}
    assert sound_names("extend") == {"audio"}
    assert "guidance_scale" in argument_names("inpaint")
    assert "callback" not in argument_names("generate")


def test_unknown_models_and_adapters_are_named() -> None:
    with pytest.raises(InvalidError, match="none named 'smal'; did you mean \"small\"") as found:
        chosen_model(SoundRequest(method="generate", model="smal"), [FACTS], ())
    assert found.value.problem.field == "model"
    request = SoundRequest(method="generate", adapters=(("soft", 1.0),))
    with pytest.raises(InvalidError, match="adapters: there is none named 'soft'; there are: none"):
        chosen_model(request, [FACTS], ())
    assert chosen_model(SoundRequest(method="generate"), [FACTS], ()) is FACTS


def test_an_adapter_has_to_fit_the_model() -> None:
    fitting = replace(FACTS, name="large", adapters=("soft",))
    request = SoundRequest(method="generate", model="large", adapters=(("soft", 1.0),))
    assert chosen_model(request, [FACTS, fitting], ("soft", "hard")) is fitting
    for model, name, these in (("small", "soft", "none"), ("large", "hard", "soft")):
        request = SoundRequest(method="generate", model=model, adapters=((name, 1.0),))
        message = f"adapters: '{name}' does not fit the model '{model}'; these do: {these}"
        with pytest.raises(InvalidError, match=message) as found:
            chosen_model(request, [FACTS, fitting], ("soft", "hard"))
        assert found.value.problem.field == "adapters"


def test_models_are_named_by_the_last_part_of_their_place() -> None:
    assert named(["tiny", "/srv/models/big", "mine=/srv/x", "stabilityai/open"]) == (
        Named("tiny", "tiny"),
        Named("big", "/srv/models/big"),
        Named("mine", "/srv/x"),
        Named("open", "stabilityai/open"),
    )
    with pytest.raises(ValueError, match="'=x' names nothing"):
        named(["=x"])
    with pytest.raises(ValueError, match='two models are named "a"'):
        ServedModels(models=named(["a", "b/a"]))


def test_limits_are_above_0() -> None:
    with pytest.raises(ValueError, match="steps must be above 0, got 0"):
        Limits(steps=0)

"""Arguments that a method does not have are refused by name, with the one that was meant."""

from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.pretrained import StableAudio, load

SOUND = Audio(torch.full((1, 2, 8000), 0.1), 16000)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("generate", {"gudance_scale": 2},
         "generate takes no argument 'gudance_scale'; did you mean \"guidance_scale\"?"),
        ("generate", {"quality": 3}, "generate takes no argument 'quality'"),
        ("inpaint", {"audio": SOUND, "spans": [(0, 0.1)], "negativ_prompt": "bell"},
         "inpaint takes no argument 'negativ_prompt'; did you mean \"negative_prompt\"?"),
        ("inpaint", {"audio": SOUND, "spans": [(0, 0.1)], "fade": 0},
         "inpaint takes no argument 'fade'; did you mean \"crossfade\"?"),
        ("extend", {"audio": SOUND, "second": 0.1},
         "extend takes no argument 'second'; did you mean \"seconds\"?"),
        ("interpolate", {"sampling": "euler"},
         "interpolate takes no argument 'sampling'; did you mean \"sampler\"?"),
        ("denoiser", {"guidence_scale": 3},
         "denoiser takes no argument 'guidence_scale'; did you mean \"guidance_scale\"?"),
        ("stream", {"stps": 3}, "stream takes no argument 'stps'; did you mean \"steps\"?"),
    ],
)  # fmt: skip
def test_arguments_that_there_are_not(
    model: StableAudio, method: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(model, method)(prompt="kick", **given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("method", "given", "named", "message"),
    [
        ("generate", ("kick", 0.5), {},
         "generate takes prompt without a name, got 2 values; name the others, such as "
         "duration=..."),
        ("inpaint", (SOUND, "kick", [(0, 0.1)]), {},
         "inpaint takes audio and prompt without a name, got 3 values; name the others, such as "
         "spans=..."),
        ("generate", (), {}, "generate needs prompt; give prompt=..."),
        ("inpaint", (SOUND,), {}, "inpaint needs prompt and spans; give prompt=..."),
        ("extend", (SOUND, "kick"), {}, "extend needs seconds; give seconds=..."),
        ("generate", ("kick",), {"prompt": "bell"},
         "generate got multiple values for argument 'prompt'; give it once"),
    ],
)  # fmt: skip
def test_arguments_by_their_place(
    model: StableAudio,
    method: str,
    given: tuple[object, ...],
    named: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(model, method)(*given, **named)
    assert str(caught.value) == message


def test_numbers_beyond_those_that_models_know(model: StableAudio) -> None:
    with pytest.raises(ValueError, match=r"^seconds_start must be at most 1e\+09, got 1e\+308$"):
        model.generate("kick", seconds_start=1e308, steps=1, progress=False)

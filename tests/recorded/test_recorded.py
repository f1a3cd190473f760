"""What the sounds of a model say about how they were made."""

import json
import math
import tarfile
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open import generate as story
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.tags import TagError
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.hashes import DIGITS, sound_hash, weights_of
from stable_audio_open.recorded.making import Making, as_json, from_json, making_of
from stable_audio_open.recorded.recorded import arguments_of, recorded, sound_arguments
from stable_audio_open.request.sampling_settings import SamplingOptions


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


def made(audio: Audio, item: int = 0) -> Making:
    return making_of(json.loads(json.dumps(audio.tags[item])), Path("a.wav"))


def test_all_that_changes_a_sample_is_told(model: StableAudio, tiny_model_folder: Path) -> None:
    audio = model.generate(
        ["deep kick", "bell"], negative_prompt="hum", duration=0.5, steps=2, seed=[7, 2**32 - 1],
        progress=False,
    )  # fmt: skip
    second = made(audio, 1)
    assert (second.prompt, second.seed, second.item) == ("bell", 2**32 - 1, 1)
    assert (second.method, second.model.name) == ("generate", str(tiny_model_folder))
    assert (second.dtype, second.device) == ("float32", "cpu")
    assert second.threads == torch.get_num_threads()
    assert second.weights == weights_of(model)
    told = {name: from_json(value) for name, value in second.settings.items()}
    assert told.items() >= {
        "prompt": ("deep kick", "bell"), "duration": 0.5, "negative_prompt": "hum", "steps": 2,
        "guidance_scale": 7.0, "guidance_interval": (0.0, math.inf), "sampler": "dpmpp-2m",
        "schedule": "polyexponential", "sigma_min": 0.3, "sigma_max": 500.0,
        "seed": (7, 2**32 - 1), "trim": True,
    }.items()  # fmt: skip
    left_out = arguments_of(StableAudio.generate).keys() - told.keys()
    defaults = signature(StableAudio.generate).parameters
    assert all(defaults[name].default is None for name in left_out)
    assert made(audio, 0).settings == second.settings


def test_what_was_left_to_chance_or_the_model_is_told(model: StableAudio) -> None:
    audio = model.generate("kick", steps=1, progress=False)
    settings = made(audio).settings
    assert settings["seed"] == list(audio.seeds)
    assert settings["sampler"] == "dpmpp-2m"
    assert "duration" not in settings


NOISE = 0.1 * torch.randn(1, 2, 12800, generator=torch.Generator().manual_seed(0))
METHODS: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "kick"},
    "inpaint": {"audio": (NOISE, 16000), "prompt": "kick", "spans": [(0.1, 0.2)]},
    "extend": {"audio": (NOISE, 16000), "prompt": "kick", "seconds": 0.1},
    "interpolate": {"prompt": ("kick", "bell"), "count": 3},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_that_a_method_takes_is_told(model: StableAudio, method: str) -> None:
    """Those that were left to the model as well: its defaults may be others one day."""
    call = getattr(model, method)
    audio = call(**METHODS[method], steps=2, seed=3, progress=False)
    settings = made(audio).settings
    names = SamplingOptions.__annotations__.keys() - {"adapters"}  # which are told with the model
    options = {name: from_json(settings[name]) for name in names}
    assert options == {
        "steps": 2, "guidance_scale": 7.0, "guidance_rescale": 0.0,
        "guidance_interval": (0.0, math.inf), "guidance_parallel": 1.0, "guidance_norm": math.inf,
        "guidance_momentum": 0.0, "sampler": "dpmpp-2m", "schedule": "polyexponential",
        "sigma_min": 0.3, "sigma_max": 500.0,
    }  # fmt: skip
    own = signature(getattr(StableAudio, method)).parameters
    assert {
        name: settings[name] for name in ("edges", "resampling", "crossfade") if name in own
    } == ({"edges": "mirrored", "resampling": 2, "crossfade": 0.05} if "edges" in own else {})


def test_numbers_of_numpy_are_numbers() -> None:
    told = as_json({"a": np.int64(2), "b": [np.float32(0.5), np.float64(0.1)], "c": np.arange(2)})
    assert json.loads(json.dumps(told)) == {"a": 2, "b": [0.5, 0.1], "c": [0, 1]}
    assert as_json(np.float32(math.inf)) == {"number": "inf"}
    assert as_json(torch.tensor([1.5])) == [1.5]
    assert as_json(object()) == {"type": "object"}


def test_tags_make_the_sound_again(model: StableAudio) -> None:
    audio = model.generate(["kick", "bell"], steps=2, guidance_rescale=0.3, progress=False)
    making = made(audio, 1)
    again = model.generate(
        **{name: from_json(value) for name, value in making.settings.items()}, progress=False
    )
    assert torch.equal(again[making.item].samples, audio[1].samples)


def test_sounds_are_told_by_hash(model: StableAudio, tmp_path: Path) -> None:
    noise = 0.1 * torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "a.wav"
    soundfile.write(path, noise[0].T.numpy(), 16000, subtype="FLOAT")
    settings = {"steps": 1, "progress": False}
    by_path = made(model.generate("kick", init_audio=path, **settings)).settings["init_audio"]
    assert by_path == {"file": str(path), "sha256": file_hash(path)[:DIGITS]}
    loaded = Audio.load(path)
    for form in (loaded, (noise, 16000), (16000, noise[0].T.numpy())):
        told = made(model.generate("kick", init_audio=form, **settings)).settings["init_audio"]
        assert told == {"samples": sound_hash(loaded)}
    assert sound_hash(Audio(noise, 16000)) == sound_hash(loaded)
    assert sound_hash(Audio(noise, 16001)) != sound_hash(loaded)
    assert sound_hash(Audio(noise[..., :-1], 16000)) != sound_hash(loaded)


def test_a_sound_may_be_in_a_tar(model: StableAudio, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(800, 0.1), 16000)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path / "a.wav", "a.wav")
    path = tmp_path / "set.tar" / "a.wav"
    told = made(model.generate("kick", init_audio=path, steps=1, progress=False)).settings
    digest = file_hash(tmp_path / "a.wav")[:DIGITS]
    assert told["init_audio"] == {"file": str(path), "sha256": digest}


def test_weights_are_hashed_anew_when_they_change(model: StableAudio) -> None:
    before = weights_of(model)
    parameter = next(model.transformer.parameters())
    with torch.no_grad():
        parameter.add_(1)
    try:
        assert weights_of(model) != before
    finally:
        with torch.no_grad():
            parameter.sub_(1)


def test_a_change_of_weights_is_in_the_tags(tiny_model_folder: Path) -> None:
    half = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype="bfloat16")
    making = made(half.generate("kick", steps=1, progress=False))
    assert making.dtype == "bfloat16"
    assert making.weights == weights_of(half)


class Options(TypedDict, total=False):
    steps: int | None
    title: str


def edited(
    model: LatentDiffusion,
    audio: Audio | str,
    prompt: str | Sequence[str] = "x",
    *,
    progress: bool = True,
    **options: Unpack[Options],
) -> Audio:
    """A method with options that it hands on."""
    return Audio(torch.zeros(1, 1, 9), 16000, (3,))


def test_other_methods_can_be_recorded_too(model: StableAudio, tmp_path: Path) -> None:
    assert list(arguments_of(edited)) == ["audio", "prompt", "steps", "title"]
    assert sound_arguments(edited) == {"audio"}
    path = tmp_path / "a.wav"
    soundfile.write(path, [0.0] * 9, 16000)
    tags = recorded(edited)(model, str(path), title="t").tags[0]
    assert (tags["method"], tags["prompt"]) == ("edited", "x")
    settings: Any = tags["settings"]
    assert settings["audio"] == {"file": str(path), "sha256": file_hash(path)[:DIGITS]}
    assert (settings["title"], settings["seed"]) == ("t", [3])


def test_fades_belong_to_sounds_that_are_cut(model: StableAudio) -> None:
    settings = {"steps": 1, "progress": False}
    assert model.generate("kick", duration=0.5, **settings).fade == 0.005
    assert model.generate("kick", **settings).fade == 0
    assert model.generate("kick", duration=0.5, trim=False, **settings).fade == 0


def test_weighted_prompts_are_made_again(model: StableAudio) -> None:
    generate = recorded(story.generate)
    audio = generate(
        model,
        [[("kick", 0.7), ("bell", 0.3)], "snare"],
        steps=2,
        negative_prompt="hum",
        progress=False,
    )
    assert [made(audio, item).prompt for item in range(2)] == [
        '[["kick", 0.7], ["bell", 0.3]]',
        "snare",
    ]
    settings = made(audio).settings
    again = generate(
        model, **{name: from_json(value) for name, value in settings.items()}, progress=False
    )
    assert torch.equal(again.samples, audio.samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matmul": "low"}, r"a.wav: its tags are not whole \(Expected `str` matching regex"),
        (
            {"seed": "7"},
            r"a.wav: its tags are not whole \(Expected `int`, got `str` - at `\$.seed`",
        ),
        ({"threads": 0}, r"a.wav: its tags are not whole \(Expected `int` >= 1 - at `\$.threads`"),
        ({"threads": 10**9}, r"a.wav: its tags are not whole \(Expected `int` <= 1024"),
    ],
)
def test_tags_that_were_changed_are_told(
    model: StableAudio, change: dict[str, object], message: str
) -> None:
    tags = model.generate("kick", steps=1, progress=False).tags[0]
    with pytest.raises(TagError, match=f"^{message}"):
        making_of({**tags, **change}, Path("a.wav"))


def test_a_sound_in_memory_is_warned_of_once(
    model: StableAudio, caplog: pytest.LogCaptureFixture
) -> None:
    loud = torch.full((2, 8000), 1.5)
    audio = model.generate("kick", init_audio=(loud, 16000), steps=1, progress=False)
    assert caplog.messages == [
        "init_audio peaks 3.5 dB above full scale; models are trained on sound within it"
    ]
    assert made(audio).settings["init_audio"] == {"samples": sound_hash(Audio(loud[None], 16000))}

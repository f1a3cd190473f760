"""Every argument of every public method, given what it cannot be: one line with its name."""

import re
from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.checkpoint.hub.card import ModelCard
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import load_autoencoder

RAW = re.compile(
    "not supported between|unsupported operand|object is not|unexpected keyword|has no attribute|"
    "positional argument|must be real number|cannot be interpreted|could not convert|can't convert|"
    "invalid literal|not iterable|not subscriptable|ambiguous|expected str|unpack"
)
"""Python's own words."""
GIVEN: dict[str, Any] = {
    "None": None,
    "text": "x1",
    "bytes": b"1",
    "float": 1.5,
    "int": 2,
    "complex": 1j,
    "bool": True,
    "list": [None],
    "empty list": [],
    "texts": ["1"],
    "dict": {"a": 1},
    "set": {1},
    "array": np.zeros((2, 2)),
    "array of one": np.array([3]),
    "array of none": np.array(1.0),
    "tensor": torch.zeros(1),
    "object": object(),
}
NUMBER = {"int", "float"}
FLAG, INTEGER, NAME = {"bool"}, {"int"}, {"text"}
OR_NONE = {"None"}
TEXTS = {"texts", "empty list"}

FITTING: dict[str, set[str]] = {
    **dict.fromkeys(("loop", "trim", "progress", "before", "sample", "chunked"), FLAG),
    **dict.fromkeys(("trim_silence", "use_ema"), FLAG),
    **dict.fromkeys(("bars", "bpm", "window", "fade", "init_noise_level"), NUMBER | OR_NONE),
    **dict.fromkeys(("sigma_min", "sigma_max", "guidance_rescale"), NUMBER | OR_NONE),
    **dict.fromkeys(("guidance_parallel", "guidance_norm"), NUMBER | OR_NONE),
    **dict.fromkeys(("guidance_momentum", "loudness", "peak", "end"), NUMBER | OR_NONE),
    **dict.fromkeys(("seconds_start", "init_strength", "crossfade", "seconds"), NUMBER),
    **dict.fromkeys(("start", "threshold_db"), NUMBER),
    **dict.fromkeys(("samples", "steps", "seed", "count", "sample_rate"), INTEGER | OR_NONE),
    **dict.fromkeys(("channels", "item"), INTEGER | OR_NONE),
    **dict.fromkeys(("core", "resampling"), INTEGER),
    **dict.fromkeys(("sampler", "schedule", "dtype"), NAME | OR_NONE),
    **dict.fromkeys(("edges", "path", "subtype", "folder", "source", "attention"), NAME),
    **dict.fromkeys(("init_audio", "text_encoder"), NAME | OR_NONE),
    **dict.fromkeys(("variant", "revision", "token", "commit_message"), NAME | OR_NONE),
    **dict.fromkeys(("license", "base_model"), NAME | OR_NONE),
    **dict.fromkeys(("repo_id", "description", "data"), NAME),
    **dict.fromkeys(("datasets", "measurements"), TEXTS),
    "max_shard_size": INTEGER | OR_NONE,
    "card": OR_NONE,
    "private": FLAG | OR_NONE,
    "device": NAME | INTEGER | OR_NONE,
    "duration": NUMBER | OR_NONE,
    "first": INTEGER | OR_NONE,
    "prompt": {"text", "texts"},
    "negative_prompt": {"text", "texts", "None", "list"},
    "conditions": {"dict", "None"},
    "guidance_scale": NUMBER | OR_NONE | {"list"},
    "guidance_interval": OR_NONE,
    "callback": OR_NONE,
    "generator": OR_NONE,
    "audio": {"text"},
    "spans": set(),
    "latents": set(),
    "x": set(),
    "sigma": {"int", "float", "tensor"},
    "lora": {"empty list"},
    "adapters": {"dict", "None"},
    "weight": NUMBER,
    "interval": set(),
    "layers": {"None", "texts"},
    "name": NAME | OR_NONE,
}
"""What an argument may be, of what is given; its value is another matter."""
FEWER = {
    ("noise", "seed"): INTEGER,
    ("interpolate", "count"): INTEGER,
    ("stream", "first"): INTEGER,
    ("set_adapters", "adapters"): {"dict"},
    ("unload_adapter", "name"): NAME,
    ("save", "tags"): FLAG,
    ("ModelCard", "tags"): TEXTS,
    ("Audio", "samples"): set[str](),
    ("Audio", "sample_rate"): INTEGER,
    ("Audio", "fade"): NUMBER,
    ("Audio", "seeds"): set[str](),
    ("Audio", "lengths"): set[str](),
    ("Audio", "tags"): set[str](),
    **{(name, "audio"): set[str]() for name in ("encode", "posterior", "reconstruct")},
}

SOUND = Audio(torch.full((1, 2, 8000), 0.1), 16000)
QUICK: dict[str, Any] = {"steps": 1, "progress": False}


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


def methods(model: StableAudio, folder: Path) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Each public function, and arguments that it takes."""
    wave, latents = SOUND.samples, model.noise(1)
    return {
        "generate": (model.generate, {"prompt": "kick", **QUICK}),
        "generate a loop": (model.generate, {"prompt": "kick", "loop": True, **QUICK}),
        "generate a long sound": (
            model.generate,
            {"prompt": [(0, "kick"), (1, "bell")], "duration": 1.5, **QUICK},
        ),
        "inpaint": (
            model.inpaint,
            {"audio": SOUND, "prompt": "kick", "spans": [(0.1, 0.2)], **QUICK},
        ),
        "extend": (model.extend, {"audio": SOUND, "prompt": "kick", "seconds": 0.2, **QUICK}),
        "interpolate": (model.interpolate, {"prompt": "kick", "count": 2, **QUICK}),
        "stream": (model.stream, {"prompt": "kick", **QUICK}),
        "denoiser": (model.denoiser, {"prompt": "kick"}),
        "sigmas": (model.sigmas, {}),
        "noise": (model.noise, {"seed": 1}),
        "call": (model.denoiser("kick").__call__, {"x": latents, "sigma": 1.0}),
        "encode": (model.autoencoder.encode, {"audio": wave}),
        "posterior": (model.autoencoder.posterior, {"audio": wave}),
        "decode": (model.autoencoder.decode, {"latents": latents}),
        "decode_pieces": (model.autoencoder.decode_pieces, {"latents": latents}),
        "reconstruct": (model.autoencoder.reconstruct, {"audio": wave}),
        "Audio": (Audio, {"samples": wave, "sample_rate": 16000}),
        "load": (Audio.load, {"path": folder / "sound.wav"}),
        "trim": (SOUND.trim, {"seconds": 0.1}),
        "cut": (SOUND.cut, {"start": 0.1}),
        "sound_end": (SOUND.sound_end, {}),
        "finish": (SOUND.finish, {}),
        "save": (SOUND.save, {"path": folder / "new.wav"}),
        "save_pretrained": (model.save_pretrained, {"folder": folder / "model"}),
        "push_to_hub": (model.push_to_hub, {"repo_id": "someone/model"}),
        "ModelCard": (ModelCard, {}),
        "load_adapter": (model.load_adapter, {"folder": folder / "adapter"}),
        "set_adapters": (model.set_adapters, {"adapters": {}}),
        "unload_adapter": (model.unload_adapter, {"name": "adapter"}),
        "load a model": (load, {"source": "tiny"}),
        "load an autoencoder": (load_autoencoder, {"source": "tiny"}),
    }


NAMES = [
    *("generate", "generate a loop", "generate a long sound"),
    *("inpaint", "extend", "interpolate", "stream", "denoiser", "sigmas", "noise"),
    *("call", "encode", "posterior", "decode", "decode_pieces", "reconstruct", "Audio", "load"),
    *("trim", "cut", "sound_end", "finish", "save", "save_pretrained", "push_to_hub", "ModelCard"),
    *("load_adapter", "set_adapters", "unload_adapter", "load a model", "load an autoencoder"),
]


def arguments(function: Callable[..., Any]) -> list[str]:
    """Their names, those of typed options among them."""
    found: list[str] = []
    for name, parameter in signature(function).parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            (options,) = get_args(get_type_hints(function)[name])
            found += get_type_hints(options)
        elif name != "model":
            found.append(name)
    return found


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("name", NAMES)
def test_what_it_cannot_be_is_told_in_one_line(
    model: StableAudio, tmp_path: Path, name: str
) -> None:
    SOUND.save(tmp_path / "sound.wav")
    every = methods(model, tmp_path)
    assert list(every) == NAMES
    function, working = every[name]
    faults = []
    for argument in arguments(function):
        fitting = FEWER.get((name, argument), FITTING.get(argument))
        assert fitting is not None, f"say what {argument} may be"
        for kind in GIVEN.keys() - fitting:
            fault = told(function, {**working, argument: GIVEN[kind]}, argument)
            if fault:
                faults.append(f"{argument}={kind}: {fault}")
    assert not faults, "\n".join(faults)


def told(function: Callable[..., Any], given: dict[str, Any], argument: str) -> str:
    """Return what is wrong with the answer to a wrong argument; nothing where it is right."""
    if argument in ("samples", "bars") and "duration" in given:
        del given["duration"]
    try:
        found = function(**given)
        if function.__name__ in ("decode_pieces", "stream"):
            next(found)
    except (TypeError, ValueError) as error:
        message = str(error)
        named = {argument, argument.replace("_", " "), argument.removesuffix("s")}
        if "\n" in message or RAW.search(message) or not any(one in message for one in named):
            return message
        return ""
    except Exception as error:  # noqa: BLE001, which is the fault
        return f"{type(error).__name__}: {error}"
    return "taken without a word"

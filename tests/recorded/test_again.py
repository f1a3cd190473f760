"""What tags hold makes the same samples, whatever the form that arguments were given in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.recorded.making import from_json

QUICK: dict[str, Any] = {"steps": 2, "progress": False}
SOUND = Audio(0.1 * torch.ones(2, 2, 8000), 16000, lengths=(8000, 7000))
MIXTURE = [("rain", 0.7), ("fire", 0.3)]
POINTS = [(100, 5.0), (1, 2.0)]

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("generate", {"prompt": ["kick", "bell"], "guidance_scale": [3, POINTS]}),
    ("generate", {"prompt": "kick", "guidance_scale": [POINTS]}),
    ("generate", {"prompt": ["kick", "bell"], "guidance_scale": [None, 1], "seed": (4, 9)}),
    ("generate", {"prompt": [MIXTURE, "kick"], "negative_prompt": [None, MIXTURE]}),
    ("generate", {"prompt": ["kick", "bell"], "duration": [0.25, np.float32(0.3)]}),
    ("generate", {"prompt": "kick", "seed": np.int64(3), "window": np.float64(0.5)}),
    ("generate", {"prompt": np.str_("kick"), "sampler": np.str_("euler")}),
    ("generate", {"prompt": "kick", "sigma_max": np.float32(80), "guidance_norm": np.float64(2)}),
    ("generate", {"prompt": [[(0, "kick"), (0.5, "bell")], "rain"], "duration": 1.5}),
    ("generate", {"prompt": [MIXTURE, "kick"], "loop": True, "bars": 1, "bpm": 200}),
    ("generate", {"prompt": [(0, "kick"), (0.5, "bell")], "loop": True, "samples": 20000}),
    ("generate", {"prompt": "kick", "schedule": "linear", "sigma_max": 100.0}),
    ("generate", {"prompt": "kick", "schedule": "log-snr", "guidance_interval": (0.5, 40)}),
    ("generate", {"prompt": "kick", "guidance_parallel": 0.2, "guidance_momentum": -0.5}),
    ("interpolate", {"prompt": ("kick", "bell"), "count": 3, "seed": [1, 2], "duration": 0.3}),
    ("interpolate", {"prompt": "kick", "count": 3, "seed": [1, 5, 2], "guidance_scale": [1, 2, 3]}),
]


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(("method", "given"), CALLS)
def test_a_sound_again(model: StableAudio, method: str, given: dict[str, Any]) -> None:
    made = getattr(model, method)(**given, **QUICK)
    settings = json.loads(json.dumps(made.tags[-1]["settings"]))
    again = {name: from_json(value) for name, value in settings.items()}
    found = getattr(model, method)(**again, progress=False)
    assert torch.equal(found.samples, made.samples)
    assert (found.lengths, found.seeds, found.fade) == (made.lengths, made.seeds, made.fade)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("inpaint", {"spans": [(0.1, 0.2), (0.2, 0.25)], "resampling": 1, "edges": "released"}),
        ("inpaint", {"spans": [(0.1, 0.2)], "guidance_scale": [2.0, POINTS], "crossfade": 0}),
        ("extend", {"audio": SOUND[0], "seconds": 0.1, "fade": 0.02}),
    ],
)
def test_an_edit_again(model: StableAudio, method: str, given: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"audio": SOUND, "prompt": "kick", **given}
    made = getattr(model, method)(**asked, **QUICK)
    settings = json.loads(json.dumps(made.tags[-1]["settings"]))
    again = {name: from_json(value) for name, value in settings.items() if name != "audio"}
    found = getattr(model, method)(audio=asked["audio"], **again, progress=False)
    assert torch.equal(found.samples, made.samples)
    assert found.fade == made.fade

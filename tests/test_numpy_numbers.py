"""NumPy's numbers are numbers: they make and save what Python's do, tags included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.pretrained import StableAudio, load

QUICK: dict[str, Any] = {"steps": 2, "seed": 3, "progress": False}
WAVE = torch.full((2, 8000), 0.1)
SOUND = Audio(WAVE[None], 16000)

Way = Callable[[StableAudio, Any, Any], Audio]
WAYS: dict[str, Way] = {
    "inpaint": lambda model, whole, real: model.inpaint(
        SOUND,
        "kick",
        spans=[(real(0.125), real(0.25))],
        crossfade=real(0.0625),
        resampling=whole(1),
        **QUICK | {"steps": whole(2), "seed": whole(3)},
    ),
    "extend": lambda model, whole, real: model.extend(
        (WAVE, whole(16000)), "kick", seconds=real(0.25), fade=real(0.125), **QUICK
    ),
    "interpolate": lambda model, whole, real: model.interpolate(
        "kick", count=whole(3), duration=real(0.5), **QUICK | {"seed": (whole(1), whole(2))}
    ),
    "vary": lambda model, whole, real: model.generate(
        "kick",
        init_audio=(whole(16000), np.zeros((4000, 2), np.float32)),
        init_strength=real(0.5),
        guidance_scale=[(whole(100), real(2.5)), (real(0.5), whole(4))],
        guidance_interval=(real(0.25), whole(100)),
        **QUICK,
    ),
    "level": lambda model, whole, real: model.generate(
        [("kick", real(0.5)), ("bell", whole(1))], seconds_start=real(0.5), **QUICK
    ).finish(peak=real(-1.5), fade=real(0.125), sample_rate=whole(8000), channels=whole(1)),
    "long": lambda model, whole, real: model.generate(
        [(whole(0), "kick"), (real(0.5), "bell")], duration=real(1.5), **QUICK
    ),
    "own": lambda model, whole, real: Audio(
        WAVE[None], whole(16000), (whole(3),), (whole(7000),), fade=real(0.125)
    )[whole(0)].cut(real(0.125), real(0.25)),
}


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_made_and_saved_is_the_same(
    model: StableAudio, tmp_path: Path, way: str, real: Any
) -> None:
    expected, found = WAYS[way](model, int, float), WAYS[way](model, np.int64, real)
    assert torch.equal(found.samples, expected.samples)
    assert repr(found) == repr(expected)
    assert found.tags == expected.tags
    for index, (one, other) in enumerate(
        zip(found.save(f"{tmp_path}/found/"), expected.save(f"{tmp_path}/expected/"), strict=True)
    ):
        assert one.read_bytes() == other.read_bytes(), index

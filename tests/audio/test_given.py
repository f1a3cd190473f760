"""Sounds in the forms that people have them in."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import as_audio

RATE = 8000
SAMPLES = torch.rand(2, 400, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize(
    ("dtype", "full_scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.uint8, 2**7)]
)
def test_integers_are_scaled_by_their_type(dtype: Any, full_scale: int) -> None:
    offset = 128 if dtype is np.uint8 else 0
    array = np.round(SAMPLES.double().numpy() * full_scale + offset).astype(dtype)
    found = as_audio((RATE, array.T), "sound")
    assert found.sample_rate == RATE
    torch.testing.assert_close(found.samples[0], SAMPLES, rtol=0, atol=0.5 / full_scale + 1e-7)
    tensor = as_audio((torch.from_numpy(array), RATE), "sound")
    assert torch.equal(tensor.samples, found.samples)


def test_floats_of_any_width_are_taken_as_they_are() -> None:
    for dtype in (torch.float16, torch.float64):
        found = as_audio((SAMPLES.to(dtype), RATE), "sound")
        assert torch.equal(found.samples[0], SAMPLES.to(dtype).float())
    assert torch.equal(as_audio((RATE, SAMPLES[0].numpy()), "sound").samples[0, 0], SAMPLES[0])


def test_what_is_used_of_a_longer_file_is_not_changed(tmp_path: Path) -> None:
    long = Audio(SAMPLES.repeat(1, 100)[None] * 0.5, RATE)  # 5 s
    long.save(tmp_path / "long.wav", subtype="float")
    found = as_audio(tmp_path / "long.wav", "sound", most=0.5)
    assert torch.equal(found.samples[..., :4000], long.samples[..., :4000])
    assert found.samples.shape[-1] == 12000


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            SAMPLES,
            TypeError,
            "sound must be a path, an Audio, (tensor [channels, time], rate) or (rate, array "
            "[time, channels]), got Tensor",
        ),
        (
            (RATE, [0.0, 0.1]),
            TypeError,
            "sound must be a path, an Audio, (tensor [channels, time], rate) or (rate, array "
            "[time, channels]), got (int, list)",
        ),
        (
            (SAMPLES.numpy(), RATE),
            TypeError,
            "sound must be a path, an Audio, (tensor [channels, time], rate) or (rate, array "
            "[time, channels]), got (ndarray, int)",
        ),
        (
            (SAMPLES[0], RATE),
            ValueError,
            "sound: a tensor must be [channels, time] or [batch, channels, time], got [400]",
        ),
        (
            (RATE, np.zeros((1, 2, 3), np.float32)),
            ValueError,
            "sound: an array must be [time] or [time, channels], got [1, 2, 3]",
        ),
        (
            (torch.zeros(2, 3, dtype=torch.bool), RATE),
            TypeError,
            "sound: samples must be floats or integers of 8 (unsigned), 16 or 32 bits, got "
            "torch.bool",
        ),
        ((torch.zeros(2, 0), RATE), ValueError, "sound holds no samples; give a sound"),
        (
            (torch.full((2, 3), math.nan), RATE),
            ValueError,
            "sound holds NaN or infinite samples; repair the recording",
        ),
        (
            (torch.full((2, 3), 32767.0), RATE),
            ValueError,
            "sound peaks at 32767, and samples are expected within -1..1; divide integers in "
            "floats by their full scale (32768 of 16 bits)",
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_what_is_no_sound_is_refused(given: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        as_audio(given, "sound")
    assert str(caught.value) == message


def test_a_little_too_loud_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found = as_audio((SAMPLES * 4, RATE), "sound")
    assert torch.equal(found.samples[0], SAMPLES * 4)
    [message] = caplog.messages
    assert message.startswith("sound peaks 6.0 dB above full scale; models are trained on")

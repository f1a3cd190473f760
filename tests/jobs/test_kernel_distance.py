"""The kernel distance as it is called from Python."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stable_audio_open.evaluation.result import to_json
from stable_audio_open.jobs.kernel_distance import (
    KernelDistanceRequest,
    measure_kernel_distance,
)

pytestmark = pytest.mark.numerical


def tones(folder: Path, *, noise: float) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    for index in range(10):
        tone = 0.2 * np.sin(2 * np.pi * 200 * 2 ** (index / 4) * time)
        samples = tone + noise * rng.standard_normal(len(time))
        soundfile.write(folder / f"{index}.wav", samples, 16000, subtype="FLOAT")
    return folder


def test_it_returns_what_it_finds_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = tones(tmp_path / "clean", noise=0.0), tones(tmp_path / "noisy", noise=0.1)
    request = KernelDistanceRequest(
        generated=noisy,
        reference=clean,
        against=clean,
        embedder="mean-log-mel",
        channels="mono",
        resamples=150,
        confidence=0.8,
        seed=5,
    )
    found = measure_kernel_distance(request)
    assert (found.channels, found.resamples, found.confidence, found.seed) == (1, 150, 0.8, 5)
    assert found.dimensions == 64
    assert found.kernel_distance.low < found.kernel_distance.value < found.kernel_distance.high
    assert found.against is not None
    assert found.against.difference.value == pytest.approx(found.kernel_distance.value)
    assert found.against.leaves_out_0
    assert to_json(found) == to_json(measure_kernel_distance(request))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"resamples": 10}, "10 resamples make no interval; give at least 100"),
        ({"confidence": math.nan}, "confidence must be at least 0.5 and below 1, got nan; 0.95 is"),
        ({"seed": -1}, "seed must be between 0 and 4294967295, got -1"),
        ({"channels": "left"}, "channels must be stereo or mono, got 'left'"),
    ],
)
def test_requests_out_of_range_are_refused(
    asked: dict[str, Any], message: str, types_unchecked: None
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        KernelDistanceRequest(
            generated=Path("a"), reference=Path("b"), embedder="mean-log-mel", **asked
        )

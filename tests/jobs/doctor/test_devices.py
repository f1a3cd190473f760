import re

import pytest
import torch

from stable_audio_open.jobs.doctor import devices

GIB = 2**30


def test_the_processor_is_a_device_with_memory() -> None:
    assert devices.devices()[-1] == torch.device("cpu")
    assert 0 < devices.free_memory(torch.device("cpu")) < 2**50


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_formats_that_work(dtype: torch.dtype) -> None:
    assert devices.try_format(torch.device("cpu"), dtype) is None


def test_a_format_that_does_not_work_says_why() -> None:
    assert "not implemented" in str(devices.try_format(torch.device("cpu"), torch.int8))


def test_a_format_that_is_too_coarse_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "TOO_FAR", 0.0)
    found = devices.try_format(torch.device("cpu"), torch.bfloat16)
    assert re.fullmatch(r"results differ from float32 by \d%", str(found))


@pytest.mark.parametrize(
    ("memory", "state", "words"),
    [
        (100 * GIB, "ok", "fits (float32 about 6.9 GiB, bfloat16 about 4.7 GiB)"),
        (6 * GIB, "warning", "fits in bfloat16 alone (float32 about 6.9 GiB, "),
        (GIB, "warning", "does not fit ("),
    ],
)
def test_what_fits(memory: int, state: str, words: str) -> None:
    found = devices.fit("stable-audio-open-1.0", torch.device("cpu"), memory)
    assert found.subject == "cpu stable-audio-open-1.0"
    assert found.state == state
    assert found.detail.startswith(words)


@pytest.mark.slow
def test_all_findings_of_this_machine() -> None:
    subjects = [one.subject for one in devices.device_findings()]
    assert {"cpu", "cpu dtypes", "cpu stable-audio-open-small"} <= set(subjects)
    assert [one.subject for one in devices.attention_findings()] == [
        "attention sdpa",
        "attention flash",
    ]

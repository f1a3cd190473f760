"""Runs that are called from Python: they print nothing, and tell what they find."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.data.manifest import Recording, write_manifest
from stable_audio_open.jobs.memorisation import MemorisationRequest, run_memorisation
from stable_audio_open.jobs.protocol.request import ProtocolRequest
from stable_audio_open.jobs.speed import SpeedRequest, measure_speed


def test_speed_returns_its_stages_and_tells_what_it_leaves_out(
    tiny_model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    request = SpeedRequest(
        model=str(tiny_model_folder), steps=1, repeats=1, chunks=(9999,), device="cpu"
    )
    found = measure_speed(request, tell=told.append)
    assert [stage.name for stage in found.stages] == [
        "text encoding",
        "diffusion",
        "decoding, whole",
    ]
    assert [line.partition(":")[0] for line in told] == ["warning"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.numerical
def test_memorisation_returns_what_it_writes(
    tiny_model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    for name in ("kick", "bell"):
        soundfile.write(data / f"{name}.wav", 0.1 * rng.standard_normal((8000, 2)), 16000)
    lines = [Recording(file=f"{name}.wav", caption=name) for name in ("kick", "bell")]
    write_manifest(data / "manifest.jsonl", lines)
    request = MemorisationRequest(
        model=str(tiny_model_folder),
        data=data,
        output=tmp_path / "out",
        embedder="log-mel",
        random=1,
        steps=1,
        guidance_scale=3.0,
        device="cpu",
    )
    found = run_memorisation(request)
    assert found.json == tmp_path / "out" / "memorisation-log-mel.json"
    assert json.loads(found.json.read_bytes())["generation"]["guidance"] == 3.0
    assert found.result.generation.guidance == 3.0
    assert found.page.read_text().startswith("<!")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 10**10}, "steps must be at most 10000, got 10000000000"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"chunks": (32, 0)}, "chunks must be at least 1, got 0"),
    ],
)
def test_requests_of_speed_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeedRequest(model="tiny", **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"top": 0}, "top must be at least 1, got 0"),
        ({"chunk": 0.0}, "chunk must be above 0 s, got 0.0"),
        ({"prompts": "tags"}, "prompts are 'tags'; allowed: caption, metadata"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 10**10}, "steps must be at most 10000, got 10000000000"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"guidance_scale": float("nan")}, "guidance scale must be a finite number, got nan"),
        ({"duration": -1.0}, "duration must be above 0 s, got -1.0"),
    ],
)
def test_requests_of_memorisation_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemorisationRequest(
            model="tiny", data=Path("d"), output=Path("o"), embedder="log-mel", **change
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "generations"}, "no part 'generations'; allowed: both, generation, autoencoder"),
        ({"players": -3}, "players must be at least 0, got -3"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 10**10}, "steps must be at most 10000, got 10000000000"),
        ({"protocol": "nosuch"}, "no protocol 'nosuch'; allowed: "),
    ],
)
def test_requests_of_protocols_are_checked(change: dict[str, object], message: str) -> None:
    here = Path()
    given = {"model": "tiny", "prompts": here, "protocol": "audiocaps", "output": here}
    with pytest.raises(ValueError, match=message):
        ProtocolRequest(**(given | {"references": here} | change))  # type: ignore[arg-type]

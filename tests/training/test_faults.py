"""Runs on folders in which some recordings are broken."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.jobs.train import run_training

Change = Callable[..., Any]


@pytest.fixture
def broken(recordings: Path, tmp_path: Path) -> Path:
    """One recording is empty from the start, another loses its second half."""
    folder = tmp_path / "broken"
    shutil.copytree(recordings, folder)
    (folder / "deep.wav").write_bytes(b"")
    cut = folder / "bass.wav"
    cut.write_bytes(cut.read_bytes()[:9000])
    return folder


def on(config: ModelConfig, folder: Path, *, most: float) -> Any:
    data = msgspec.structs.replace(config.data, path=str(folder), most_unusable=most)
    if isinstance(config, DiffusionModelConfig):
        data = msgspec.structs.replace(data, latent_cache=str(folder / "latents"))
    return msgspec.structs.replace(config, data=data)


def named(run: Path) -> set[str]:
    with (run / "unusable_recordings.csv").open(newline="") as file:
        return {row["file"] for row in csv.DictReader(file)}


def test_autoencoder_trains_on_the_others(
    autoencoder_run: AutoencoderModelConfig, change: Change, broken: Path, tmp_path: Path
) -> None:
    config = change(autoencoder_run, output=str(tmp_path), name="some", max_steps=6)
    last = run_training(on(config, broken, most=0.5))
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert named(tmp_path / "some") == {"deep.wav", "bass.wav"}


def test_diffusion_trains_on_the_others(
    diffusion_run: DiffusionModelConfig, change: Change, broken: Path, tmp_path: Path
) -> None:
    config = change(diffusion_run, output=str(tmp_path), name="some")
    last = run_training(on(config, broken, most=0.5))
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert named(tmp_path / "some") == {"deep.wav", "bass.wav"}
    assert len(list((broken / "latents").rglob("*.safetensors"))) == 4


@pytest.mark.parametrize("stage", ["autoencoder_run", "diffusion_run"])
def test_too_many_stop_the_run(
    stage: str, request: pytest.FixtureRequest, change: Change, broken: Path, tmp_path: Path
) -> None:
    config = change(request.getfixturevalue(stage), output=str(tmp_path), name="none", max_steps=9)
    message = r"^2 of 6 recordings cannot be used, more than the allowed share of 0\.2"
    with pytest.raises(AudioFileError, match=message):
        run_training(on(config, broken, most=0.2))

"""Runs on folders in which some recordings are broken."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import soundfile
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["autoencoder_run", "diffusion_run"])
def test_too_many_stop_the_run(
    stage: str, request: pytest.FixtureRequest, change: Change, broken: Path, tmp_path: Path
) -> None:
    config = change(request.getfixturevalue(stage), output=str(tmp_path), name="none", max_steps=9)
    message = r"^2 of 6 recordings cannot be used, more than the allowed share of 0\.2"
    with pytest.raises(AudioFileError, match=message):
        run_training(on(config, broken, most=0.2))


@pytest.fixture
def damaged(recordings: Path, tmp_path: Path) -> Path:
    """Headers are whole; a recording to train on and one to validate on hold NaN."""
    folder = tmp_path / "damaged"
    shutil.copytree(recordings, folder)
    for name in ("bass.wav", "deep.wav"):
        samples, rate = soundfile.read(folder / name, dtype="float32")
        samples[:] = float("nan")
        soundfile.write(folder / name, samples, rate, subtype="FLOAT")
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    held_out = [line for line in lines if "deep" in line or "warm" in line]
    (folder / "manifest.jsonl").write_text("".join(line for line in lines if "deep" not in line))
    (folder / "validation.jsonl").write_text("".join(held_out))
    return folder


@pytest.mark.slow
def test_batches_of_nothing_but_damage_do_not_end_a_run(
    autoencoder_run: AutoencoderModelConfig, change: Change, damaged: Path, tmp_path: Path
) -> None:
    """Ten crops, one each batch, two of them damaged: in each epoch, and in each validation."""
    config = change(
        autoencoder_run, output=str(tmp_path), name="some", max_steps=10, validate_every=5
    )
    config = on(config, damaged, most=0.5)
    data = msgspec.structs.replace(config.data, validation="validation.jsonl")
    training = msgspec.structs.replace(config.training, batch_size=1)
    last = run_training(msgspec.structs.replace(config, data=data, training=training))
    assert torch.load(last, weights_only=True)["global_step"] == 10
    assert named(tmp_path / "some") == {"bass.wav", "deep.wav"}

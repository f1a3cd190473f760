"""Trainings and encodings of recordings in shards are those of the same recordings as files."""

import csv
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.evaluation import ReconstructionEvaluationConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.write import build_training_set
from stable_audio_open.data.latent_shards.reading import (
    Encoding,
    ShardedLatents,
    open_shards,
    read_index,
)
from stable_audio_open.data.manifest import write_manifest
from stable_audio_open.data.recordings import read_recordings
from stable_audio_open.jobs.encode import run_encoding
from stable_audio_open.jobs.train import run_training

Change = Callable[..., Any]
RATE = 16000
LOGGED = re.compile("train/loss|validation/|evaluation/")


class Sets(NamedTuple):
    """Six recordings to train on and two to validate on, in the same order."""

    shards: FolderConfig
    files: FolderConfig


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(0)
    for name, count in (("train", 6), ("held_out", 2)):
        audio = folder / f"{name}_audio"
        audio.mkdir()
        records = []
        for index in range(count):
            samples = 0.1 * random.standard_normal((5000 + 1500 * index, 1 + index % 2))
            soundfile.write(audio / f"{index}.flac", samples, RATE)
            records.append(
                CatalogueRecord(
                    id=f"x:{index}", file=f"{index}.flac", title="drum", licence="CC0", author="ann"
                )
            )
        catalogue = folder / f"{name}_catalogue"
        write_catalogue(catalogue, records)
        build_training_set(catalogue, audio, folder / name, form="shards", per_shard=4)
    unpacked = folder / "unpacked"
    for name in ("train", "held_out"):
        lines = read_recordings(folder, f"{name}/index.json")
        for tar in sorted((folder / name).glob("*.tar")):
            with tarfile.open(tar) as opened:
                opened.extractall(unpacked / name / tar.name, filter="data")
        write_manifest(unpacked / f"{name}.jsonl", lines)
    return Sets(
        FolderConfig(
            path=str(folder), manifest="train/index.json", validation="held_out/index.json"
        ),
        FolderConfig(path=str(unpacked), manifest="train.jsonl", validation="held_out.jsonl"),
    )


def on(config: ModelConfig, data: FolderConfig, **changes: Any) -> Any:
    return msgspec.structs.replace(config, data=msgspec.structs.replace(data, **changes))


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def logged(checkpoint: Path) -> dict[str, list[str]]:
    """What was logged but for speed, by column."""
    with (checkpoint.parents[1] / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0] if LOGGED.match(name)}


def assert_same_runs(one: Path, other: Path) -> None:
    ours, theirs = state(one), state(other)
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert any(name.startswith("validation/") for name in logged(one))
    assert logged(one) == logged(other)


@pytest.mark.slow
def test_two_steps_of_an_autoencoder(
    autoencoder_run: AutoencoderModelConfig, sets: Sets, change: Change, tmp_path: Path
) -> None:
    runs = []
    for name, data, workers in (("shards", sets.shards, 1), ("files", sets.files, 0)):
        config = on(autoencoder_run, data, workers=workers)
        judged = ReconstructionEvaluationConfig(
            path=data.path, manifest=str(data.validation), every=2
        )
        training = msgspec.structs.replace(config.training, evaluation=judged)
        config = msgspec.structs.replace(config, training=training)
        runs.append(
            run_training(
                change(config, name=name, output=str(tmp_path), max_steps=2, validate_every=1)
            )
        )
    assert any(name.startswith("evaluation/") for name in logged(runs[0]))
    assert_same_runs(*runs)


@pytest.mark.slow
def test_two_steps_of_a_diffusion_model(
    diffusion_run: DiffusionModelConfig, sets: Sets, change: Change, tmp_path: Path
) -> None:
    config = change(diffusion_run, output=str(tmp_path), max_steps=2, validate_every=1)
    runs = [
        run_training(on(change(config, name=name), data, latent_cache=str(tmp_path / f"{name}_l")))
        for name, data in sets._asdict().items()
    ]
    assert_same_runs(*runs)


def test_latents_encoded_from_shards(
    diffusion_run: DiffusionModelConfig, sets: Sets, tmp_path: Path
) -> None:
    encoded = []
    for name, data in sets._asdict().items():
        run_encoding(on(diffusion_run, data), tmp_path / name, per_shard=4)
        encoding: Encoding = read_index(tmp_path / name).encoding
        encoded.append(open_shards(tmp_path / name, encoding))
    ours, theirs = encoded
    assert ours.spread == theirs.spread
    assert [one.file for one in ours.recordings] == [
        f"train/shard-{n // 4:06d}.tar/{n:09d}.flac" for n in range(6)
    ]
    assert ours.recordings == theirs.recordings
    for one, other in zip(ours.latents, theirs.latents, strict=True):
        assert isinstance(one, ShardedLatents)
        assert isinstance(other, ShardedLatents)
        assert torch.equal(one.read(0, one.frames), other.read(0, other.frames))


def test_latents_are_not_written_over_recordings(
    diffusion_run: DiffusionModelConfig, sets: Sets
) -> None:
    output = Path(sets.shards.path) / "train"
    before = {path.name: path.read_bytes() for path in output.glob("*.tar")}
    with pytest.raises(ValueError, match=r"train: holds recordings in shards, which those of lat"):
        run_encoding(on(diffusion_run, sets.shards), output, per_shard=4)
    assert {path.name: path.read_bytes() for path in output.glob("*.tar")} == before

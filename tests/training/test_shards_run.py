"""Recordings encoded ahead of a training, by one process and by two, and trained on."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.initial import initial_model, trained_autoencoder
from stable_audio_open.checkpoint.export import save_stable_audio_tools
from stable_audio_open.config.conditioning import T5Config
from stable_audio_open.config.data import ShardsConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.data.latent_shards.reading import read_index
from stable_audio_open.jobs.encode import run_encoding
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio, load

Change = Callable[..., Any]

MAIN = ("-m", "stable_audio_open.cli.main", "encode")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, diffusion_run: DiffusionModelConfig) -> Path:
    """Three shards of two recordings."""
    folder = tmp_path_factory.mktemp("encoded") / "shards"
    index = run_encoding(diffusion_run, folder, per_shard=2)
    assert index is not None
    assert (index.recordings, len(index.shards)) == (6, 3)
    return folder


@pytest.fixture
def file(tmp_path: Path, diffusion_run: DiffusionModelConfig) -> str:
    path = tmp_path / "config.json"
    path.write_bytes(msgspec.json.encode(diffusion_run))
    return str(path)


def on(config: DiffusionModelConfig, folder: Path) -> DiffusionModelConfig:
    return msgspec.structs.replace(config, data=ShardsConfig(path=str(folder)))


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


@pytest.mark.numerical
def test_two_steps_from_shards_are_those_from_the_folder(
    diffusion_run: DiffusionModelConfig, shards: Path, change: Change, tmp_path: Path
) -> None:
    config = change(diffusion_run, output=str(tmp_path), max_steps=2)
    folder = state(run_training(change(config, name="folder")))
    sharded = state(run_training(on(change(config, name="shards"), shards)))
    assert folder.keys() == sharded.keys()
    for key, tensor in folder.items():
        assert torch.equal(sharded[key], tensor), key


@pytest.mark.slow
@pytest.mark.numerical
def test_a_run_on_shards_resumes_to_the_same_weights(
    diffusion_run: DiffusionModelConfig, shards: Path, change: Change, tmp_path: Path
) -> None:
    config = on(change(diffusion_run, output=str(tmp_path)), shards)
    whole = state(run_training(change(config, name="one")))
    run_training(change(config, name="two", max_steps=2))
    again = state(run_training(change(config, name="two")))
    assert all(torch.equal(again[key], tensor) for key, tensor in whole.items())


@pytest.mark.numerical
@pytest.mark.slow
def test_torchrun_makes_the_same_bytes(file: str, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    indices = []
    for name, start in (("one", MAIN), ("two", (*torchrun, *MAIN))):
        output = tmp_path / name
        done = subprocess.run(
            [sys.executable, *start, "--config", file, "--output", str(output),
             "--recordings-per-shard", "2"],
            capture_output=True,
            text=True,
            env=ONE_THREAD,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"{output}: 6 recordings in 3 shards") == 1
        indices.append((output / "index.json").read_bytes())
    assert indices[0] == indices[1]


@pytest.mark.slow
def test_a_killed_encoding_goes_on(file: str, tmp_path: Path) -> None:
    def start(output: Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *MAIN, "--config", file, "--output", str(output),
             "--recordings-per-shard", "1"],
            stderr=subprocess.PIPE,
            text=True,
            env=ONE_THREAD,
        )  # fmt: skip

    whole, output = start(tmp_path / "whole"), tmp_path / "killed"
    assert "shard 6 of 6 written" in whole.communicate()[1]
    killed = start(output)
    assert killed.stderr is not None
    while "shard 2 of 6 written" not in killed.stderr.readline():
        pass
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    done = {path.name: path.stat().st_ino for path in output.glob("*.json")}
    assert len(done) >= 2
    assert "index.json" not in done
    again = start(output)
    assert "shard 1 of 6" not in again.communicate()[1]
    assert again.returncode == 0
    assert {name: (output / name).stat().st_ino for name in done} == done
    assert read_index(output) == read_index(tmp_path / "whole")


def test_no_text_encoder_is_needed(diffusion_run: DiffusionModelConfig, tmp_path: Path) -> None:
    text, *numbers = diffusion_run.conditioning.conditioners
    assert isinstance(text, T5Config)
    text = msgspec.structs.replace(text, model="nowhere")
    conditioning = msgspec.structs.replace(
        diffusion_run.conditioning, conditioners=(text, *numbers)
    )
    config = msgspec.structs.replace(diffusion_run, conditioning=conditioning)
    index = run_encoding(config, tmp_path, per_shard=6, verify=True)
    assert index is not None
    assert index.recordings == 6


@pytest.mark.parametrize("source", ["autoencoder", "initialize", "both"])
def test_the_autoencoder_is_that_of_the_training(
    diffusion_run: DiffusionModelConfig,
    tiny_model_folder: Path,
    tiny_autoencoder_folder: Path,
    source: str,
) -> None:
    assert diffusion_run.training is not None
    training = msgspec.structs.replace(
        diffusion_run.training,
        autoencoder=None if source == "initialize" else str(tiny_autoencoder_folder),
        initialize=None if source == "autoencoder" else str(tiny_model_folder),
    )
    alone = trained_autoencoder(diffusion_run, training).state_dict()
    whole = initial_model(diffusion_run, training).autoencoder.state_dict()
    assert alone.keys() == whole.keys()
    assert all(torch.equal(alone[key], tensor) for key, tensor in whole.items())


def test_the_autoencoder_of_a_whole_model_in_another_layout(
    diffusion_run: DiffusionModelConfig, wide_model_folder: Path, tmp_path: Path
) -> None:
    model = load(wide_model_folder)
    assert isinstance(model, StableAudio)
    save_stable_audio_tools(model, model.config, tmp_path / "model", dtype=torch.float32)
    training: Any = msgspec.structs.replace(
        diffusion_run.training, autoencoder=None, initialize=str(tmp_path / "model")
    )
    found = trained_autoencoder(diffusion_run, training).state_dict()
    expected = model.autoencoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


@pytest.mark.slow
def test_a_run_refuses_shards_of_another_model(
    diffusion_run: DiffusionModelConfig, shards: Path, change: Change, tmp_path: Path
) -> None:
    config = on(change(diffusion_run, output=str(tmp_path)), shards)
    autoencoder = msgspec.structs.replace(config.autoencoder, scale=0.3)
    with pytest.raises(ValueError, match=r"index\.json: was encoded with encoder [0-9a-f]{64}, "):
        run_training(msgspec.structs.replace(config, autoencoder=autoencoder))
    with pytest.raises(ValueError, match=r"with window_samples 16000, and the model has 8000; "):
        run_training(msgspec.structs.replace(config, window_samples=8000))
    with pytest.raises(ValueError, match=r"nowhere/index\.json: cannot be read .*; run `stable-"):
        run_training(on(config, tmp_path / "nowhere"))


def test_what_cannot_be_encoded(
    diffusion_run: DiffusionModelConfig,
    autoencoder_run: AutoencoderModelConfig,
    shards: Path,
    tmp_path: Path,
) -> None:
    def refused(config: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
            run_encoding(config, tmp_path, per_shard=1)

    replace = msgspec.structs.replace
    refused(
        autoencoder_run,
        'small-autoencoder: $.type: found "autoencoder"; allowed: "latent_diffusion"',
    )
    refused(replace(diffusion_run, data=None), "small: `data` is missing; encoding needs this")
    refused(replace(diffusion_run, training=None), "small: `training` is missing; encoding needs")
    refused(on(diffusion_run, shards), 'small: $.data.type: found "shards"; allowed: "folder"')
    bare: Any = replace(diffusion_run.training, autoencoder=None)
    refused(replace(diffusion_run, training=bare), "small: training.autoencoder is missing; give")
    assert list(tmp_path.iterdir()) == []


def test_half_an_environment_is_refused(
    diffusion_run: DiffusionModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="must have RANK, LOCAL_RANK, WORLD_SIZE, all of them"):
        run_encoding(diffusion_run, tmp_path, per_shard=1)


@pytest.mark.slow
def test_shards_are_validated_on_as_the_folder_is(
    diffusion_run: DiffusionModelConfig, recordings: Path, shards: Path, change: Change
) -> None:
    lines = (recordings / "manifest.jsonl").read_text().splitlines()
    (recordings / "last_three.jsonl").write_text("\n".join(lines[3:]) + "\n")
    data: Any = diffusion_run.data
    held_out = shards.with_name("held_out")
    run_encoding(
        msgspec.structs.replace(
            diffusion_run, data=msgspec.structs.replace(data, manifest="last_three.jsonl")
        ),
        held_out,
        per_shard=2,
    )
    losses = []
    for name, source in (
        ("folder", msgspec.structs.replace(data, validation="last_three.jsonl")),
        ("shards", ShardsConfig(path=str(shards), validation=str(held_out))),
    ):
        config = msgspec.structs.replace(diffusion_run, data=source)
        last = run_training(change(config, name=f"validated_{name}", validate_every=1, max_steps=2))
        log = (last.parents[1] / "logs" / "metrics.csv").read_text().splitlines()
        column = log[0].split(",").index("validation/loss")
        losses.append([row.split(",")[column] for row in log[1:] if row.split(",")[column]])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2

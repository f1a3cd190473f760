"""What reaches TensorBoard and Weights & Biases, with the real packages and no network."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.jobs.train import run_training

Change = Callable[..., AutoencoderModelConfig]


@pytest.mark.slow
def test_tensorboard_goes_on_in_the_same_folder(
    autoencoder_run: AutoencoderModelConfig, change: Change
) -> None:
    config = change(autoencoder_run, name="tensorboard", logger="tensorboard")
    run_training(change(config, max_steps=2))
    last = run_training(config)
    events = EventAccumulator(str(last.parent.parent / "logs"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3]
    assert all(event.value > 0 for event in events.Scalars("train/gradient_norm"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_wandb_offline_goes_on_as_the_same_run(
    autoencoder_run: AutoencoderModelConfig, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = change(autoencoder_run, name="wandb", logger="wandb")
    for steps in (2, 4):
        last = run_training(change(config, max_steps=steps))
        wandb.finish()
    folder = last.parent.parent
    identity = (folder / "wandb_run").read_text()
    runs: list[Path] = sorted((folder / "wandb").glob("offline-run-*"))
    assert len(runs) >= 1
    # Two of one second are told apart by a number behind the identity.
    assert all(re.search(rf"-{identity}(-\d+)?$", run.name) for run in runs)
    logged = b"".join(file.read_bytes() for run in runs for file in run.glob("*.wandb"))
    for name in (b"train/loss", b"train/gradient_norm", b"train/loss/kl"):
        assert name in logged

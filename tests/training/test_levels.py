"""Reconstructions that lose their level."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stable_audio_open.autoencoder.oobleck import OobleckDecoder
from stable_audio_open.config.evaluation import ReconstructionEvaluationConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.training import DemoConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.levels import TrainingLevel, level_lost, share_too_quiet

Change = Callable[..., Any]
pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
]


def test_levels_in_decibels() -> None:
    original = torch.ones(5, 2, 100)
    original[4] = 9e-4  # silent
    gains = torch.tensor([1.0, 10.0, 0.1, 0.0, 0.0])
    lost = level_lost(original * gains[:, None, None], original)
    torch.testing.assert_close(lost, torch.tensor([0.0, -20.0, 20.0, 120.0, 0.0]))
    assert share_too_quiet(lost) == pytest.approx(1 / 5)


class Task(pl.LightningModule):
    """Logs a level as autoencoder trainings do."""

    def __init__(self, lost: Callable[[int], float]) -> None:
        super().__init__()
        self.lost = lost
        self.weight = nn.Parameter(torch.ones(1))

    def training_step(self, *_: Any) -> Tensor:
        self.log("train/level_lost", self.lost(self.global_step))
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_training_warns_once_and_not_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    trainer = pl.Trainer(
        max_steps=150,
        accelerator="cpu",
        callbacks=[TrainingLevel(every=10)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    task = Task(lambda step: 40.0 if step < 95 or step > 114 else 19.0)
    trainer.fit(task, DataLoader([torch.zeros(1)] * 150))  # type: ignore[arg-type]
    [warning] = [r.getMessage() for r in caplog.records if "of level" in r.getMessage()]
    assert warning.startswith("step 120: the reconstructions of the batch lost more than 20 dB of")


@pytest.fixture
def silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = OobleckDecoder.forward
    monkeypatch.setattr(OobleckDecoder, "forward", lambda self, x: 1e-6 * forward(self, x))


@pytest.mark.slow
@pytest.mark.usefixtures("silenced")
def test_validation_and_evaluation_warn(
    autoencoder_run: AutoencoderModelConfig,
    recordings: Path,
    change: Change,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest = (recordings / "manifest.jsonl").read_text().splitlines()
    (recordings / "three.jsonl").write_text("\n".join(manifest[:3]) + "\n")
    data: Any = msgspec.structs.replace(autoencoder_run.data, validation="three.jsonl")  # type: ignore[type-var]
    evaluation = ReconstructionEvaluationConfig(
        path=str(recordings), every=2, manifest="three.jsonl"
    )
    training: Any = msgspec.structs.replace(autoencoder_run.training, evaluation=evaluation)  # type: ignore[type-var]
    config = msgspec.structs.replace(autoencoder_run, data=data, training=training)
    with caplog.at_level(logging.WARNING, logger="stable_audio_open"):
        run_training(change(config, name="silenced", max_steps=2, validate_every=2))
    told = "\n".join(r.getMessage() for r in caplog.records if "of level" in r.getMessage())
    assert "validation at step 2: 100% of the reconstructions lost more than 20 dB" in told
    assert "evaluation, step_00000002: 3 of 3 reconstructions lost more than 20 dB" in told


@pytest.mark.slow
@pytest.mark.usefixtures("silenced")
def test_silent_demos_are_named(
    diffusion_run: DiffusionModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    demo = DemoConfig(
        every=1,
        steps=2,
        count=1,
        conditions=({"prompt": "deep drum", "seconds_start": 0, "seconds_total": 1},),
        guidance_scales=(1.0,),
    )
    training: Any = msgspec.structs.replace(diffusion_run.training, demo=demo)  # type: ignore[type-var]
    config = msgspec.structs.replace(diffusion_run, training=training)
    with caplog.at_level(logging.WARNING, logger="stable_audio_open"):
        run_training(change(config, name="silent_demos", max_steps=1))
    told = [r.getMessage() for r in caplog.records if "silent" in r.getMessage()]
    assert told == ["demo step_00000001/0_deep_drum is silent: nothing above -60 dB"]

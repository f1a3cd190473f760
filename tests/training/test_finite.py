"""Steps without a finite gradient, in real runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining, Reconstruction

Change = Callable[..., AutoencoderModelConfig]


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


@pytest.fixture
def broken_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of step 1 (from 0) is not a number."""
    reconstruct = AutoencoderTraining.reconstruct

    def broken(self: AutoencoderTraining, audio: Tensor, batch_idx: int) -> Reconstruction:
        found = reconstruct(self, audio, batch_idx)
        factor = float("nan") if self.global_step == 1 else 1.0
        return found._replace(loss=found.loss * factor)

    monkeypatch.setattr(AutoencoderTraining, "reconstruct", broken)


@pytest.mark.slow
@pytest.mark.usefixtures("broken_step")
def test_a_step_without_finite_gradient_is_left_out(
    autoencoder_run: AutoencoderModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        last = run_training(change(autoencoder_run, name="broken", gradient_clip=1.0))
    [warning] = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert warning.startswith("step 1 left out: its loss or gradient is not finite (1 in a row")
    assert warning.count(".wav") >= 1
    states = [state(last.with_name(f"0000000{n}.ckpt")) for n in (1, 2, 3)]
    weights = [{k: v for k, v in s.items() if k.startswith("model.")} for s in states]
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    assert all(not torch.equal(v, weights[2][k]) for k, v in weights[0].items())
    assert all(v.isfinite().all() for v in state(last).values())


def test_a_run_that_diverged_stops_and_keeps_its_checkpoint(
    autoencoder_run: AutoencoderModelConfig, change: Change
) -> None:
    training = autoencoder_run.training
    assert training is not None
    fast = msgspec.structs.replace(training.optimizer, lr=1e30)
    config: Any = msgspec.structs.replace(
        autoencoder_run, training=msgspec.structs.replace(training, optimizer=fast)
    )
    config = change(config, name="diverged", max_steps=9, most_skipped=3)
    message = r"training stopped at step 3: the last 3 steps had .* not finite.*\.wav"
    with pytest.raises(FloatingPointError, match=message):
        run_training(config)
    folder = Path(config.training.trainer.output) / "diverged" / "checkpoints"
    kept = torch.load(folder / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3
    assert all(v.isfinite().all() for v in kept["state_dict"].values())

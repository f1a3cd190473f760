"""Runs of the first stage on synthesised recordings."""

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.data import autoencoder_data
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import autoencoder_task, new_autoencoder
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining

pytestmark = pytest.mark.numerical

Change = Callable[..., AutoencoderModelConfig]


@pytest.fixture(scope="module")
def last(autoencoder_run: AutoencoderModelConfig) -> Path:
    return run_training(autoencoder_run)


def state(checkpoint: Path) -> dict[str, Tensor]:
    read: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    weights: dict[str, Tensor] = read["state_dict"]
    return weights


def part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


def task_of(config: AutoencoderModelConfig, model: AudioAutoencoder) -> AutoencoderTraining:
    assert config.training is not None
    task = autoencoder_task(config, config.training, model)
    task.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return task


def initial(config: AutoencoderModelConfig) -> AudioAutoencoder:
    assert config.training is not None
    return new_autoencoder(config, config.training)


def loss_of(
    config: AutoencoderModelConfig, model: AudioAutoencoder, *, batch_index: int = 0
) -> float:
    """The loss of the first batch of epoch 0, with the noise of the first step."""
    assert config.training is not None
    assert config.data is not None
    loader = autoencoder_data(training_run(config)).train_dataloader()
    batch = next(iter(loader))
    return float(task_of(config, model).training_step(batch, batch_index).detach())


def test_loss_falls_within_two_steps(last: Path, autoencoder_run: AutoencoderModelConfig) -> None:
    before = loss_of(autoencoder_run, initial(autoencoder_run))
    after = load(last.with_name("00000002.ckpt"), use_ema=False)
    assert isinstance(after, AudioAutoencoder)
    assert loss_of(autoencoder_run, after) < 0.9 * before


def test_the_log_holds_the_loss_and_its_terms(last: Path) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3]
    for row in rows:
        total = (
            float(row["train/loss/mid_side"])
            + 0.5 * float(row["train/loss/left_right"])
            + 1e-4 * float(row["train/loss/kl"])
        )
        assert float(row["train/loss"]) == pytest.approx(total, rel=1e-5)
        assert float(row["train/latent_std"]) > 0


def test_first_logged_loss_is_that_of_the_first_batch(
    last: Path, autoencoder_run: AutoencoderModelConfig
) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    expected = loss_of(autoencoder_run, initial(autoencoder_run))
    assert float(rows[0]["train/loss"]) == pytest.approx(expected, rel=1e-5)


# An epoch has 3 batches: after step 2 amid it, after step 3 at its end and between two checkpoints.
@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_run_ends_where_the_whole_run_does(
    last: Path, autoencoder_run: AutoencoderModelConfig, change: Change, stop: int
) -> None:
    settings = {"name": f"stopped_{stop}", "checkpoint": CheckpointConfig(every=2)}
    first = run_training(change(autoencoder_run, max_steps=stop, **settings))
    assert torch.load(first, weights_only=True)["global_step"] == stop
    again = run_training(change(autoencoder_run, max_steps=4, **settings))
    assert again == first
    assert_same(state(again), state(last))


def test_every_checkpoint_holds_the_average_up_to_its_step(
    last: Path, autoencoder_run: AutoencoderModelConfig
) -> None:
    averages = [initial(autoencoder_run).state_dict()]
    for step in range(1, 5):
        weights = state(last.with_name(f"{step:08d}.ckpt"))
        online, decay = part(weights, "model."), min(0.6, 1 - (1 + step) ** -0.75)
        before, found = averages[-1], part(weights, "ema.")
        expected = {k: decay * before[k] + (1 - decay) * online[k] for k in online}
        torch.testing.assert_close(found, expected)
        averages.append(found)
    for before, after in pairwise(averages):
        assert all(not torch.equal(before[key], after[key]) for key in before)


def test_the_average_moves_once_per_step_where_gradients_accumulate(
    autoencoder_run: AutoencoderModelConfig, change: Change
) -> None:
    last = run_training(change(autoencoder_run, max_steps=1, accumulate=2, name="accumulated"))
    weights, start = state(last), initial(autoencoder_run).state_dict()
    decay = 1 - 2**-0.75
    expected = {
        key: decay * start[key] + (1 - decay) * online
        for key, online in part(weights, "model.").items()
    }
    torch.testing.assert_close(part(weights, "ema."), expected)


def test_batches_of_one_step_have_noise_of_their_own(
    autoencoder_run: AutoencoderModelConfig,
) -> None:
    model = initial(autoencoder_run)
    first, second = (loss_of(autoencoder_run, model, batch_index=index) for index in (0, 1))
    assert first != second


def test_a_checkpoint_loads_with_its_average_by_default(last: Path) -> None:
    weights = state(last)
    assert_same(dict(load(last).state_dict()), part(weights, "ema."))
    assert_same(dict(load(last, use_ema=False).state_dict()), part(weights, "model."))


def test_only_the_newest_checkpoints_are_kept(
    autoencoder_run: AutoencoderModelConfig, change: Change
) -> None:
    checkpoint = CheckpointConfig(every=1, keep=2)
    last = run_training(change(autoencoder_run, name="kept", checkpoint=checkpoint))
    kept = sorted(path.name for path in last.parent.iterdir())
    assert kept == ["00000003.ckpt", "00000004.ckpt", "last.ckpt"]


def test_a_run_needs_data_training_and_trainer(autoencoder_run: AutoencoderModelConfig) -> None:
    for field in ("data", "training"):
        config = msgspec.structs.replace(autoencoder_run, **{field: None})
        message = f"small-autoencoder: `{field}` is missing; training needs this section"
        with pytest.raises(ConfigError, match=message):
            run_training(config)


def test_a_run_is_not_overwritten_unasked(
    last: Path, autoencoder_run: AutoencoderModelConfig
) -> None:
    written = last.stat().st_mtime_ns
    with pytest.raises(ValueError, match=r"last.ckpt exists and would be overwritten; resume with"):
        run_training(autoencoder_run, resume="none")
    assert last.stat().st_mtime_ns == written


def test_a_checkpoint_to_resume_from_must_exist(autoencoder_run: AutoencoderModelConfig) -> None:
    with pytest.raises(ValueError, match=r"^missing\.ckpt: there is no such checkpoint to resume"):
        run_training(autoencoder_run, resume="missing.ckpt")


def test_the_learning_rate_falls_by_steps_and_not_by_epochs(last: Path) -> None:
    """Four steps, the last of them in the second epoch; saved is what the next step will use."""
    expected = [2e-3 * (1 - 0.5 ** (n + 1)) * (1 + n / 200) ** -0.5 for n in range(5)]
    for step in range(1, 5):
        saved = torch.load(last.with_name(f"{step:08d}.ckpt"), weights_only=True)
        rate = saved["optimizer_states"][0]["param_groups"][0]["lr"]
        assert rate == pytest.approx(expected[step], rel=1e-12)

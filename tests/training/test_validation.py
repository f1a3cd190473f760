"""Validation on recordings that are not trained on, and the checkpoint that is best at it."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.data import autoencoder_data, diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import autoencoder_task, diffusion_task
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.data.datamodule import ValidatedDataModule
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load
from tests.training.test_processes import run_two

Change = Callable[..., Any]
BANDS = ("t_0.00_0.25", "t_0.25_0.50", "t_0.50_0.75", "t_0.75_1.00")


@pytest.fixture(scope="module")
def manifest(recordings: Path) -> str:
    """Three of the recordings: as many batches as there are, one of them short."""
    lines = (recordings / "manifest.jsonl").read_text().splitlines()
    (recordings / "held_out.jsonl").write_text("\n".join(lines[:3]) + "\n")
    return "held_out.jsonl"


def validating(config: Any, manifest: str) -> Any:
    return msgspec.structs.replace(
        config, data=msgspec.structs.replace(config.data, validation=manifest)
    )


def rows(last: Path, column: str) -> dict[int, float]:
    """The values of a column of the log by step, counted from 1."""
    with (last.parents[1] / "logs" / "metrics.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row.get(column)]
    return {int(row["step"]) + 1: float(row[column]) for row in found}


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def same(found: Path, expected: Path) -> bool:
    theirs, ours = state(found), state(expected)
    return theirs.keys() == ours.keys() and all(torch.equal(theirs[k], ours[k]) for k in ours)


@pytest.fixture(scope="module")
def plain(diffusion_run: DiffusionModelConfig, change: Change) -> Path:
    return run_training(change(diffusion_run, name="not_validated"))


@pytest.fixture(scope="module")
def best(
    diffusion_run: DiffusionModelConfig, change: Change, manifest: str
) -> tuple[DiffusionModelConfig, Path]:
    keep = CheckpointConfig(every=1, keep=4, best="validation/loss")
    config = change(
        validating(diffusion_run, manifest), name="validated", validate_every=1, checkpoint=keep
    )
    return config, run_training(config)


@pytest.mark.slow
def test_validating_changes_nothing_of_the_training(
    plain: Path, best: tuple[DiffusionModelConfig, Path]
) -> None:
    assert same(best[1], plain)


def expected_losses(config: DiffusionModelConfig, checkpoint: Path) -> dict[str, float]:
    """What the averaged model of a checkpoint loses on each band, item by item."""
    assert config.training is not None
    assert config.data is not None
    model = initial_model(config, config.training)
    model.load_state_dict(load(checkpoint).state_dict())
    task = diffusion_task(config, msgspec.structs.replace(config.training, ema=None), model.eval())
    data = diffusion_data(training_run(config), model.autoencoder)
    assert isinstance(data, ValidatedDataModule)
    loader = data.val_dataloader()
    sums: dict[str, float] = {}
    task.on_validation_epoch_start()
    with torch.no_grad():
        for index, batch in enumerate(loader):
            task.validation_step(batch, index)
            items = len(batch["file"])
            for name, mean in task.validation_means.take().items():
                sums[name] = sums.get(name, 0.0) + items * float(mean)
    return {name: total / 3 for name, total in sums.items()}


@pytest.mark.slow
def test_the_losses_of_the_averaged_model_are_logged_by_band(
    best: tuple[DiffusionModelConfig, Path],
) -> None:
    config, last = best
    names = ["validation/loss", *(f"validation/loss/{band}" for band in BANDS)]
    for step in (1, 4):
        expected = expected_losses(config, last.with_name(f"{step:08d}.ckpt"))
        assert sorted(expected) == sorted(names)
        for name in names:
            assert rows(last, name)[step] == pytest.approx(expected[name], rel=1e-5)
    bands = [rows(last, name)[4] for name in names[1:]]
    assert rows(last, names[0])[4] == pytest.approx(math.fsum(bands) / 4)
    # With nothing but noise in sight, the velocity is the signal: hardest for an untrained model.
    assert len({round(value, 6) for value in bands}) == 4


@pytest.mark.slow
def test_the_checkpoint_with_the_lowest_value_is_kept(
    best: tuple[DiffusionModelConfig, Path],
) -> None:
    _, last = best
    losses = rows(last, "validation/loss")
    assert sorted(losses) == [1, 2, 3, 4]
    record = json.loads(last.with_name("best.json").read_text())
    step = min(losses, key=lambda step: losses[step])
    assert record["metric"] == "validation/loss"
    assert record["step"] == step
    assert record["value"] == pytest.approx(losses[step])
    assert same(last.with_name("best.ckpt"), last.with_name(f"{step:08d}.ckpt"))


@pytest.mark.slow
def test_a_resumed_run_ends_the_same_and_keeps_what_was_better(
    best: tuple[DiffusionModelConfig, Path], change: Change
) -> None:
    config, last = best
    name = "resumed"
    stopped = run_training(change(config, name=name, max_steps=2))
    record = stopped.with_name("best.json")
    # A value that no later validation can beat.
    told = json.loads(record.read_text()) | {"value": 0.0}
    record.write_text(json.dumps(told))
    lines = (stopped.parents[1] / "measurements.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for measurement in found:
        if measurement["step"] == told["step"]:
            measurement["values"]["validation/loss"] = 0.0
    (stopped.parents[1] / "measurements.jsonl").write_text("\n".join(map(json.dumps, found)))
    again = run_training(change(config, name=name))
    assert same(again, last)
    assert json.loads(record.read_text()) == told
    losses, whole = rows(again, "validation/loss"), rows(last, "validation/loss")
    assert losses
    assert losses == {step: whole[step] for step in losses}
    assert max(losses) == 4


@pytest.mark.slow
def test_a_run_goes_on_from_the_best_checkpoint(
    best: tuple[DiffusionModelConfig, Path], change: Change
) -> None:
    config, last = best
    start = last.with_name("best.ckpt")
    assert torch.load(start, weights_only=True)["global_step"] < 5
    again = run_training(change(config, name="from_best", max_steps=5), resume=str(start))
    assert same(again, run_training(change(config, name="five", max_steps=5)))


@pytest.mark.slow
def test_an_offloaded_average_is_validated_and_the_training_is_the_same(
    best: tuple[DiffusionModelConfig, Path],
    adversarial_run: AutoencoderModelConfig,
    manifest: str,
    change: Change,
) -> None:
    config, last = best
    plain = change(validating(adversarial_run, manifest), name="average_kept", validate_every=2)
    for name, kept, whole in (
        ("average_offloaded", config, last),
        ("autoencoder_average_offloaded", plain, run_training(plain)),
    ):
        training = msgspec.structs.replace(
            kept.training, ema=msgspec.structs.replace(kept.training.ema, offload=True)
        )
        again = run_training(change(msgspec.structs.replace(kept, training=training), name=name))
        assert same(again, whole)
        assert rows(again, "validation/loss") == rows(whole, "validation/loss")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_find_the_same_losses(
    strategy: str,
    best: tuple[DiffusionModelConfig, Path],
    diffusion_run: DiffusionModelConfig,
    change: Change,
    tmp_path: Path,
) -> None:
    """Three recordings: one process validates on two of them, the other on one."""
    two_each = change(best[0], output=str(tmp_path), max_steps=2)
    training = msgspec.structs.replace(two_each.training, batch_size=1)
    config = msgspec.structs.replace(two_each, training=training)
    last = run_two(change(config, name="two", devices=2, strategy=strategy), tmp_path)
    for name in ("validation/loss", "validation/loss/t_0.75_1.00"):
        found, expected = rows(last, name), rows(best[1], name)
        assert found == pytest.approx({step: expected[step] for step in (1, 2)}, rel=1e-4)


@pytest.mark.slow
def test_fewer_recordings_than_processes_are_given_to_each(
    best: tuple[DiffusionModelConfig, Path], recordings: Path, change: Change, tmp_path: Path
) -> None:
    lines = (recordings / "manifest.jsonl").read_text().splitlines()
    (recordings / "one.jsonl").write_text(lines[0] + "\n")
    config = change(validating(best[0], "one.jsonl"), output=str(tmp_path), max_steps=1, name="one")
    one = run_training(config)
    two = run_two(change(config, name="two", devices=2, strategy="ddp"), tmp_path)
    found = rows(two, "validation/loss")
    # One step of other batches apart.
    assert found == pytest.approx(rows(one, "validation/loss"), rel=0.05)


@pytest.mark.slow
def test_the_autoencoder_is_validated_by_the_terms_of_its_loss(
    adversarial_run: AutoencoderModelConfig, change: Change, manifest: str
) -> None:
    """Against discriminators too, where steps are taken by hand."""
    config = change(
        validating(adversarial_run, manifest),
        name="validated",
        validate_every=2,
        checkpoint=CheckpointConfig(every=2, keep=4, best="validation/loss/mid_side"),
    )
    last = run_training(config)
    assert same(last, run_training(change(adversarial_run, name="not_validated")))
    losses = rows(last, "validation/loss")
    assert sorted(losses) == [2, 4]
    assert last.with_name("best.ckpt").is_file()

    model = load(last)
    task = autoencoder_task(
        config, msgspec.structs.replace(config.training, ema=None, adversarial=None), model
    )
    data = autoencoder_data(training_run(config))
    assert isinstance(data, ValidatedDataModule)
    loader = data.val_dataloader()
    total, items = 0.0, 0
    task.on_validation_epoch_start()
    with torch.no_grad():
        for index, batch in enumerate(loader):
            task.validation_step(batch, index)
            mean = task.validation_means.take()["validation/loss"]
            total, items = total + len(batch["file"]) * float(mean), items + len(batch["file"])
    # Two crops of each recording.
    assert items == 6
    assert losses[4] == pytest.approx(total / items, rel=1e-5)


@pytest.mark.slow
def test_the_best_needs_recordings_and_a_name_that_is_logged(
    diffusion_run: DiffusionModelConfig, change: Change, manifest: str
) -> None:
    keep = CheckpointConfig(every=1, best="validation/los")
    with pytest.raises(ConfigError, match="taken at validations; give a manifest of recordings"):
        run_training(change(diffusion_run, name="refused", checkpoint=keep))
    config = change(
        validating(diffusion_run, manifest), name="refused", checkpoint=keep, validate_every=1
    )
    with pytest.raises(ValueError, match=r"'validation/los', which is not logged .*; there are .*"):
        run_training(config)


@pytest.mark.slow
def test_speed_and_memory_are_logged(
    diffusion_run: DiffusionModelConfig, autoencoder_run: AutoencoderModelConfig, change: Change
) -> None:
    configs: tuple[ModelConfig, ...] = (diffusion_run, autoencoder_run)
    for config, items in zip(configs, (2, 4), strict=True):
        last = run_training(change(config, name="watched", log_every=2))
        steps = rows(last, "train/steps_per_second")
        audio = rows(last, "train/audio_seconds_per_second")
        assert sorted(steps) == sorted(audio) == [2, 4]
        training: Any = config.training
        samples = getattr(training, "crop_samples", None) or config.window_samples  # type: ignore[union-attr]
        for step, rate in steps.items():
            assert audio[step] == pytest.approx(rate * items * samples / config.sample_rate)
        # Of this process, torch loaded.
        assert 0.1 < rows(last, "train/memory_gib")[4] < 64

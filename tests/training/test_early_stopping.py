"""When a run ends by what it measured, and what it knows of that when it goes on."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.trainer import CheckpointConfig, EarlyStoppingConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.callbacks.measurements import read_measurements
from tests.training.test_evaluations import evaluated, measured
from tests.training.test_processes import run_two
from tests.training.test_survival import start
from tests.training.test_validation import same

Change = Callable[..., Any]


@pytest.fixture(scope="module")
def stopping(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change
) -> tuple[AutoencoderModelConfig, Path]:
    """Not one of the values is better than the first by so much: the third ends the run."""
    stop = EarlyStoppingConfig(metric="evaluation/stft", patience=2, least_change=1000.0)
    config = change(
        evaluated(autoencoder_run, recordings, every=1),
        name="stopping",
        max_steps=9,
        early_stopping=stop,
        checkpoint=CheckpointConfig(every=100),
    )
    return config, run_training(config)


@pytest.mark.slow
def test_a_run_ends_when_it_gets_no_better(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change
) -> None:
    config, last = stopping
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert [m.step for m in measured(last)] == [1, 2, 3]
    whole = change(config, name="never_stopping", max_steps=3, early_stopping=None)
    assert same(last, run_training(whole))


@pytest.mark.slow
def test_a_run_that_ended_early_stays_so_and_says_what_to_do(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    config, last = stopping
    caplog.clear()
    assert run_training(config) == last
    assert torch.load(last, weights_only=True)["global_step"] == 3
    best = measured(last)[0].values["evaluation/stft"]
    assert (
        f"stopped at step 3: evaluation/stft was best at step 1 ({best:.6g}) and no better in 2 "
        "measurements since; to go on, raise training.trainer.early_stopping.patience"
        in caplog.text
    )


@pytest.mark.slow
def test_a_run_that_ended_early_goes_on_with_more_patience(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change, tmp_path: Path
) -> None:
    """To the very weights of a run that never stopped."""
    config, _ = stopping
    here = change(config, output=str(tmp_path))
    run_training(here)
    patient = EarlyStoppingConfig(metric="evaluation/stft", patience=4, least_change=1000.0)
    again = run_training(change(here, early_stopping=patient))
    assert torch.load(again, weights_only=True)["global_step"] == 5
    whole = change(config, name="five", max_steps=5, early_stopping=None)
    assert same(again, run_training(whole))


@pytest.mark.slow
def test_validation_losses_can_end_a_run(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change, tmp_path: Path
) -> None:
    """Stopped at the end of a validation, it goes on exactly."""
    data = msgspec.structs.replace(autoencoder_run.data, validation="manifest.jsonl")
    config = msgspec.structs.replace(autoencoder_run, data=data)
    stop = EarlyStoppingConfig(metric="validation/loss", patience=1, least_change=1000.0)
    settings = {"validate_every": 2, "max_steps": 9, "checkpoint": CheckpointConfig(every=100)}
    stopped = change(config, **settings, output=str(tmp_path), early_stopping=stop)
    last = run_training(stopped)
    assert torch.load(last, weights_only=True)["global_step"] == 4
    patient = EarlyStoppingConfig(metric="validation/loss", patience=2, least_change=1000.0)
    again = run_training(change(stopped, early_stopping=patient))
    assert torch.load(again, weights_only=True)["global_step"] == 6
    whole = change(autoencoder_run, output=str(tmp_path), name="six", max_steps=6)
    assert same(again, run_training(whole))


@pytest.mark.slow
def test_two_processes_end_together(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change, tmp_path: Path
) -> None:
    config, _ = stopping
    training = msgspec.structs.replace(config.training, batch_size=2)
    config = msgspec.structs.replace(config, training=training)
    last = run_two(change(config, output=str(tmp_path), devices=2, strategy="ddp"), tmp_path)
    assert torch.load(last, weights_only=True)["global_step"] == 3


def stop_by_a_signal(config: Any, folder: Path) -> str:
    """Start a run, end it once it has measured something, and return what it printed."""
    process = start(config, folder)
    while not read_measurements(folder / config.training.trainer.name):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_a_run_that_is_asked_to_end_evaluates_when_it_goes_on(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change, tmp_path: Path
) -> None:
    """A preempted job has not the time."""
    evaluating = evaluated(autoencoder_run, recordings, every=1)
    config = change(evaluating, name="asked", output=str(tmp_path), max_steps=10_000)
    output = stop_by_a_signal(config, tmp_path)
    assert f"measurements: {tmp_path / 'asked' / 'measurements.html'}" in output
    last = tmp_path / "asked" / "checkpoints" / "last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    assert [m.step for m in measured(last)] == list(range(1, step))
    run_training(change(config, max_steps=step + 1))
    assert [m.step for m in measured(last)] == list(range(1, step + 2))


@pytest.mark.slow
def test_a_signal_does_not_change_when_a_run_ends(
    autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    """Lightning validates when it is asked to end; that validation counts for nothing."""
    data = msgspec.structs.replace(autoencoder_run.data, validation="manifest.jsonl")
    config = msgspec.structs.replace(autoencoder_run, data=data)
    config = change(config, output=str(tmp_path), name="asked", max_steps=10_000, validate_every=4)
    stop_by_a_signal(config, tmp_path)
    steps = [m.step for m in read_measurements(tmp_path / "asked")]
    assert steps
    assert all(step % 4 == 0 for step in steps)


@pytest.mark.slow
def test_a_run_stopped_by_its_validation_is_evaluated_where_it_ends(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change, tmp_path: Path
) -> None:
    data = msgspec.structs.replace(autoencoder_run.data, validation="manifest.jsonl")
    config = evaluated(msgspec.structs.replace(autoencoder_run, data=data), recordings, every=2)
    stop = EarlyStoppingConfig(metric="validation/loss", patience=1, least_change=1000.0)
    config = change(
        config, output=str(tmp_path), validate_every=3, max_steps=9, early_stopping=stop
    )
    last = run_training(change(config, max_steps=5))
    found = [(m.kind, m.step, m.extra) for m in measured(last)]
    assert found == [
        ("evaluation", 2, False),
        ("validation", 3, False),
        ("evaluation", 4, False),
        ("evaluation", 5, True),
    ]
    assert run_training(config) == last
    found = [(m.kind, m.step, m.extra) for m in measured(last)]
    assert found[4:] == [("evaluation", 6, False), ("validation", 6, False)]


@pytest.mark.slow
def test_an_end_beside_the_schedule_does_not_count(
    stopping: tuple[AutoencoderModelConfig, Path], recordings: Path, change: Change, tmp_path: Path
) -> None:
    """A run that was longer at first ends where one does that was never shorter."""
    config, _ = stopping
    config = change(evaluated(config, recordings, every=2), output=str(tmp_path))
    last = run_training(change(config, max_steps=3))
    assert [(m.step, m.extra) for m in measured(last)] == [(2, False), (3, True)]
    run_training(config)
    assert torch.load(last, weights_only=True)["global_step"] == 6


@pytest.mark.slow
def test_what_was_measured_in_another_way_is_forgotten(
    stopping: tuple[AutoencoderModelConfig, Path],
    recordings: Path,
    change: Change,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, _ = stopping
    keep = CheckpointConfig(every=1, keep=9, best="evaluation/stft")
    config = change(config, output=str(tmp_path), checkpoint=keep, early_stopping=None)
    last = run_training(change(config, max_steps=2))
    record = last.with_name("best.json")
    assert json.loads(record.read_text())["step"] in (1, 2)
    fewer = change(evaluated(config, recordings, every=1, count=1), max_steps=4)
    run_training(fewer)
    assert "2 of 2 measurements are forgotten: what is measured, or how, has changed" in caplog.text
    found = {m.step: m.values["evaluation/stft"] for m in measured(last)}
    # The step that it was resumed at is measured anew.
    assert sorted(found) == [2, 3, 4]
    best = json.loads(record.read_text())
    assert (best["step"], best["value"]) == min(found.items(), key=lambda item: item[1])


@pytest.mark.slow
def test_the_best_of_what_a_run_knows_is_kept_after_all(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change, tmp_path: Path
) -> None:
    """Cut off before it was saved; or saved by a run that went another way from here."""
    config, _ = stopping
    keep = CheckpointConfig(every=1, keep=9, best="evaluation/stft")
    config = change(config, output=str(tmp_path), checkpoint=keep, early_stopping=None)
    last = run_training(change(config, max_steps=3))
    record, best = last.with_name("best.json"), last.with_name("best.ckpt")
    told = json.loads(record.read_text())
    # It learns with every step.
    assert told["step"] == 3
    best.unlink()
    run_training(config, resume=str(last))
    run_training(change(config, max_steps=3))
    assert best.is_file()


@pytest.mark.slow
def test_a_new_run_knows_nothing_of_an_old_one(
    stopping: tuple[AutoencoderModelConfig, Path], change: Change, tmp_path: Path
) -> None:
    config, _ = stopping
    config = change(config, output=str(tmp_path), max_steps=1, early_stopping=None)
    folder = tmp_path / config.training.trainer.name
    folder.mkdir()
    line = {"step": 0, "values": {"evaluation/stft": 0.0}}
    (folder / "measurements.jsonl").write_text(json.dumps(line) + "\n")
    assert [m.step for m in measured(run_training(config))] == [1]
    (folder / "checkpoints" / "last.ckpt").rename(folder / "checkpoints" / "best.ckpt")
    with pytest.raises(
        ValueError, match=r"best\.ckpt exists and would be overwritten; resume with"
    ):
        run_training(config, resume="none")


def test_judging_by_what_is_trained_on_is_told(
    stopping: tuple[AutoencoderModelConfig, Path],
    change: Change,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, _ = stopping
    run_training(change(config, output=str(tmp_path), max_steps=1))
    assert "3 of the 3 recordings of training.evaluation are trained on too" in caplog.text

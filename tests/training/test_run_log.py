"""One log over all resumes of a run."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.run_log import RunLog
from tests.full_disk import full_disk

Change = Callable[..., AutoencoderModelConfig]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "logs" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def steps(folder: Path) -> list[int]:
    return [int(row["step"]) for row in rows(folder)]


def log(folder: Path, *wanted: int, begin: int | None, **more: float) -> None:
    made = RunLog(folder)
    if begin is not None:
        made.begin(begin)
    for step in wanted:
        made.log_metrics({"loss": torch.tensor(step / 2), "epoch": 0, **more}, step=step)
        made.save()
    made.finalize("success")


def test_a_log_goes_on_where_the_run_does(tmp_path: Path) -> None:
    log(tmp_path, 0, 1, 2, 3, begin=0)
    log(tmp_path, 2, 3, 4, begin=2, more=1.5)
    assert steps(tmp_path) == [0, 1, 2, 3, 4]
    assert rows(tmp_path)[1] == {"epoch": "0", "loss": "0.5", "more": "", "step": "1"}
    assert rows(tmp_path)[2] == {"epoch": "0", "loss": "1.0", "more": "1.5", "step": "2"}
    log(tmp_path, 0, begin=0)
    assert steps(tmp_path) == [0]


def test_a_line_that_was_cut_off_is_taken_again(tmp_path: Path) -> None:
    log(tmp_path, 0, 1, 2, begin=0)
    file = tmp_path / "logs" / "metrics.csv"
    file.write_bytes(file.read_bytes()[:-3])
    log(tmp_path, 2, begin=2)
    assert steps(tmp_path) == [0, 1, 2]
    file.write_bytes(file.read_bytes()[:-3])
    # A run that was over before it began only measures.
    log(tmp_path, 2, begin=None)
    assert steps(tmp_path) == [0, 1, 2]


def test_logs_of_earlier_versions_are_taken_over(tmp_path: Path) -> None:
    """They had a folder for each resume."""
    for number, first in ((0, 0), (1, 2), (10, 3)):
        folder = tmp_path / "logs" / f"version_{number}"
        folder.mkdir(parents=True)
        lines = "".join(f"{number},{step}\n" for step in range(first, first + 3))
        (folder / "metrics.csv").write_text(f"loss,step\n{lines}")
    log(tmp_path, 5, begin=5)
    found = [(row["loss"], row["step"]) for row in rows(tmp_path)]
    assert found == [("0", "0"), ("0", "1"), ("1", "2"), ("10", "3"), ("10", "4"), ("2.5", "5")]


def test_a_full_disk_is_named_and_leaves_what_was_logged(tmp_path: Path) -> None:
    log(tmp_path, *range(20), begin=0)
    path = tmp_path / "logs" / "metrics.csv"
    before = path.read_bytes()
    made = RunLog(tmp_path)
    made.begin(20)
    for more in ({}, {"another": 1.0}):  # appended, and written anew
        made.log_metrics({"loss": 1.0, "epoch": 0, **more}, step=20)
        with full_disk(len(before) + 3), pytest.raises(OSError, match="File too large") as caught:
            made.save()
        assert caught.value.filename == str(path)
        assert str(caught.value.strerror).startswith("the log could not be written (File too large")
        assert path.read_bytes() == before
        made.save()  # as Lightning does once more


@pytest.mark.slow
def test_a_run_has_one_log(
    autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    config = change(
        autoencoder_run, output=str(tmp_path), name="log", checkpoint=CheckpointConfig(every=2)
    )
    whole = run_training(change(config, name="whole")).parents[1]
    folder = run_training(change(config, max_steps=3)).parents[1]
    (folder / "checkpoints" / "00000003.ckpt").unlink()  # killed before it was written
    (folder / "checkpoints" / "last.ckpt").unlink()
    run_training(config)
    found, expected = ([row["train/loss"] for row in rows(at)] for at in (folder, whole))
    assert found == expected
    assert steps(folder) == steps(whole)
    assert [path.name for path in (folder / "logs").iterdir()] == ["metrics.csv"]

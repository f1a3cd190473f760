"""Which checkpoint a run goes on from, and what becomes of those that it leaves behind."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.checkpoints.run_line import delete, point, put_aside, run_line

Change = Callable[..., AutoencoderModelConfig]


def write(path: Path, step: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"global_step": step, "state_dict": {"x": torch.zeros(3)}}, path)
    return path


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Steps 10, 20 and 30, of which the last is `last.ckpt` too."""
    folder = tmp_path / "run" / "checkpoints"
    for step in (10, 20, 30):
        write(folder / f"{step:08d}.ckpt", step)
    point(folder / "last.ckpt", folder / "00000030.ckpt")
    return folder


def steps(folder: Path) -> list[int]:
    return [one.step for one in run_line(folder)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_highest_step_comes_first(line: Path) -> None:
    assert [one.path.name for one in run_line(line)] == [
        "00000030.ckpt",
        "00000020.ckpt",
        "00000010.ckpt",
    ]
    assert run_line(line / "missing") == []


def test_an_older_last_does_not_win(line: Path) -> None:
    """As where two runs of one name wrote it in turn, or a kill came before it was written."""
    point(line / "last.ckpt", line / "00000010.ckpt")
    assert run_line(line)[0].path.name == "00000030.ckpt"
    write(line / "last.ckpt", 20)
    assert steps(line) == [30, 20, 10]


def test_a_last_checkpoint_alone_counts(line: Path) -> None:
    (line / "00000030.ckpt").unlink()
    assert run_line(line)[0] == (30, line / "last.ckpt")
    for path in line.glob("0*.ckpt"):
        path.unlink()
    assert run_line(line) == [(30, line / "last.ckpt")]
    (line / "last.ckpt").write_bytes(b"damaged")
    assert [one.path.name for one in run_line(line)] == ["last.ckpt"]


def test_a_copy_of_the_newest_is_not_counted_twice(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system has no links."""

    def no_links(*paths: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    point(line / "last.ckpt", line / "00000030.ckpt")
    assert not (line / "last.ckpt").samefile(line / "00000030.ckpt")
    assert steps(line) == [30, 20, 10]
    assert put_aside(line, line / "00000020.ckpt", step=20) == [line / "aside" / "00000030.ckpt"]
    assert steps(line) == [20, 10]


def test_a_copy_under_a_higher_name_is_not_the_newest(
    line: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = run_line(line)
    copy = line / "00000099.ckpt"
    shutil.copyfile(before[-1].path, copy)
    assert run_line(line) == before
    step = before[-1].step
    assert caplog.messages == [f"{copy}: is a checkpoint of step {step}, and is taken for that"]
    caplog.clear()
    before[-1].path.unlink()
    assert [(one.step, one.path) for one in run_line(line)][-1] == (step, copy)
    write(before[0].path, 1)
    assert run_line(line)[-1] == (1, before[0].path)


def test_newer_ones_are_put_aside_with_what_is_about_them(line: Path) -> None:
    (line / "00000030.ckpt.sha256").write_text("sum")
    (line / "best.ckpt").write_bytes(b"best")
    (line / "best.json").write_text(json.dumps({"metric": "m", "value": 1, "step": 20}))
    assert put_aside(line, line / "00000010.ckpt", step=10) == [
        line / "aside" / name
        for name in ("00000030.ckpt", "00000020.ckpt", "best.ckpt", "best.json")
    ]
    assert names(line) == ["00000010.ckpt", "aside", "last.ckpt"]
    assert (line / "aside" / "00000030.ckpt.sha256").read_text() == "sum"
    assert steps(line) == [10]
    assert (line / "last.ckpt").samefile(line / "00000010.ckpt")
    assert put_aside(line, line / "00000010.ckpt", step=10) == []
    write(line / "00000020.ckpt", 20)
    assert put_aside(line, line / "last.ckpt", step=10) == [line / "aside-2" / "00000020.ckpt"]


def test_a_last_checkpoint_that_is_the_only_one_of_its_step_is_kept(line: Path) -> None:
    (line / "00000030.ckpt").unlink()
    assert put_aside(line, line / "00000020.ckpt", step=20) == [line / "aside" / "last.ckpt"]
    assert run_line(line / "aside") == [(30, line / "aside" / "last.ckpt")]
    assert steps(line) == [20, 10]


def test_a_checkpoint_of_another_run_begins_a_line(line: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other" / "00000020.ckpt", 20)
    assert len(put_aside(line, other, step=20)) == 3
    assert run_line(line) == [(20, line / "last.ckpt")]
    assert names(line / "aside") == ["00000010.ckpt", "00000020.ckpt", "00000030.ckpt"]
    back = line / "aside" / "00000030.ckpt"
    assert put_aside(line, back, step=30) == [line / "aside-2" / "last.ckpt"]
    assert steps(line) == [30]


def test_what_is_about_a_checkpoint_goes_with_it(line: Path) -> None:
    (line / "00000010.ckpt.sha256").write_text("sum")
    delete(line / "00000010.ckpt")
    assert names(line) == ["00000020.ckpt", "00000030.ckpt", "last.ckpt"]


@pytest.mark.slow
def test_a_run_goes_on_along_its_own_line(
    autoencoder_run: AutoencoderModelConfig,
    change: Change,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = change(autoencoder_run, output=str(tmp_path), name="line")
    folder = run_training(config).parent
    whole = torch.load(folder / "00000004.ckpt", weights_only=True)["state_dict"]
    caplog.set_level(logging.INFO)
    with_three = change(config, max_steps=3)
    run_training(with_three, resume=str(folder / "00000001.ckpt"))
    [told] = [r.message for r in caplog.records if "put aside" in r.message]
    assert told == (
        f"{folder / '00000001.ckpt'} is of step 1; other checkpoints of this folder "
        f"(00000004.ckpt, 00000003.ckpt, 00000002.ckpt) are put aside in {folder / 'aside'}: "
        "delete them if nobody needs them"
    )
    assert steps(folder) == [3, 2, 1]
    # An interrupted write, or another run's: the highest step counts.
    (folder / "last.ckpt").unlink()  # or the copy would go into 00000003.ckpt, its other name
    shutil.copyfile(folder / "00000001.ckpt", folder / "last.ckpt")
    again = run_training(config)
    assert f"resuming from {folder / '00000003.ckpt'}" in caplog.messages
    found = torch.load(again, weights_only=True)["state_dict"]
    assert all(torch.equal(found[key], tensor) for key, tensor in whole.items())


def test_a_run_that_starts_anew_overwrites_no_checkpoint(
    autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    config = change(autoencoder_run, output=str(tmp_path), name="anew")
    kept = write(tmp_path / "anew" / "checkpoints" / "00000004.ckpt", 4)
    with pytest.raises(ValueError, match=r"00000004\.ckpt exists and would be overwritten"):
        run_training(config, resume="none")
    assert run_line(kept.parent) == [(4, kept)]

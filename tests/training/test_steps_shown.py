"""What a run shows while one waits for it."""

import io
import logging
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.preemption import SIGNALS
from stable_audio_open.training.callbacks.progress import StepProgress
from stable_audio_open.training.trainer import TrainerSettings, fit, make_trainer

LINE = r"step {} of 1,005: loss [\d.e-]+, [\d.]+ (steps/s|s/step), 0:\d\d:\d\d left"


class Line(pl.LightningModule):
    """A line through ones."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss: Tensor = (self.line(batch) - 1).square().mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.fixture(autouse=True)
def _as_the_command_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="stable_audio_open")


def new_run(folder: Path, *, every: float, steps: int) -> tuple[pl.Trainer, StepProgress]:
    settings = TrainerSettings(folder=folder, accelerator="cpu", max_steps=steps, item_seconds=1.0)
    trainer = make_trainer(settings, measurements=Measurements(folder, {}))
    shown = trainer.progress_bar_callback
    assert isinstance(shown, StepProgress)
    shown.every = every
    return trainer, shown


def train(trainer: pl.Trainer) -> None:
    data = pl.LightningDataModule.from_datasets(torch.ones(3, 1))  # type: ignore[arg-type]
    fit(trainer, Line(), data, start=None)


@pytest.mark.slow
def test_lines_tell_the_steps_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(new_run(tmp_path, every=0, steps=1005)[0])
    first, *lines = caplog.messages
    assert first == "training on the CPU, 32-true, from step 0 to 1,005"
    for step, line in enumerate(lines, start=1):
        assert re.fullmatch(LINE.format(f"{step:,}"), line)
    assert len(lines) == 1005
    assert lines[-1].endswith(" 0:00:00 left")


def test_lines_come_at_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(new_run(tmp_path, every=1000, steps=9)[0])
    assert len(caplog.messages) == 1


class Terminal(io.StringIO):
    """What is written to it."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called in tests, since pytest sets standard error anew after fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return terminal


def test_a_terminal_has_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = at_a_terminal(monkeypatch)
    train(new_run(tmp_path, every=0, steps=5)[0])
    written = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", terminal.getvalue()).split("\n")
    assert re.match(r"\rtraining .*5/5.* loss [\d.]+", written[-2])
    assert sys.stderr is terminal
    assert len(caplog.messages) == 1


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Lightning ignores Ctrl-C after the first."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("failure", [ValueError("broken"), KeyboardInterrupt()])
def test_a_run_that_fails_leaves_the_terminal_to_others(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = at_a_terminal(monkeypatch)
    before = [signal.getsignal(number) for number in SIGNALS]
    trainer, _ = new_run(tmp_path, every=0, steps=5)

    def fail(self: Line, batch: Tensor, batch_idx: int) -> Tensor:
        raise failure

    monkeypatch.setattr(Line, "training_step", fail)
    with pytest.raises((ValueError, SystemExit)):
        train(trainer)
    assert sys.stderr is terminal
    assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is there again
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_nothing_is_shown_on_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, shown = new_run(tmp_path, every=0, steps=3)
    shown.disable()
    train(trainer)
    assert caplog.messages == []

"""Trained parameters that no gradient reaches, in real runs and by hand."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.nn.snake import Snake
from stable_audio_open.training.callbacks.without_gradient import ParametersWithoutGradient

Change = Callable[..., Any]
pytestmark = [
    pytest.mark.numerical,
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
]


class Task(pl.LightningModule):
    """Five parameters, of which `used` have a gradient; `late` has one from its second step on."""

    def __init__(self, *used: str) -> None:
        super().__init__()
        self.used = used
        for name in ("a", "b", "c", "d", "late"):
            setattr(self, name, nn.Parameter(torch.ones(3)))

    def training_step(self, *_: Any) -> Tensor:
        parameters = dict(self.named_parameters())
        terms = [parameters[name].sum() for name in self.used]
        # A factor of 0 leaves gradients of 0; the others have none at all.
        late = min(self.global_step, 1) * self.late.sum()
        return torch.stack([*terms, late, 0 * self.d.sum()]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(*used: str, steps: int = 3) -> None:
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[ParametersWithoutGradient(steps=3)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Task(*used), DataLoader([torch.zeros(1)] * steps))  # type: ignore[arg-type]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records]
    return [message for message in messages if "no gradient" in message]


def test_parameters_without_gradient_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    run("b", "c", steps=9)
    [warning] = warnings(caplog)
    assert warning == ("2 of 5 trained parameters have had no gradient in the first 3 steps: a, d")


def test_nothing_is_said_before_the_steps_are_over_or_where_all_learn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run("b", steps=2)
    run("a", "b", "c", "d", steps=9)
    assert warnings(caplog) == []


def test_a_run_in_which_most_have_none_stops() -> None:
    message = (
        r"^training stopped at step 2: 3 of 5 trained parameters have had no gradient in the first "
        r"3 steps: a, c, d; most of the model would stay as it is\. Try training\.trainer\.compile="
    )
    with pytest.raises(FloatingPointError, match=message):
        run("b")


@pytest.mark.slow
def test_a_run_whose_activations_lose_the_gradient_stops(
    autoencoder_run: AutoencoderModelConfig, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a compiler once did to all of them."""
    forward = Snake.forward

    def cut(self: Snake, x: Tensor) -> Tensor:
        return forward(self, x).detach()

    monkeypatch.setattr(Snake, "forward", cut)
    with pytest.raises(
        FloatingPointError,
        match=r"stopped at step 9: \d+ of \d+ .* in the first 10 steps: .* and \d+ more;",
    ):
        run_training(change(autoencoder_run, name="cut", max_steps=20))


def told(config: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, logger="stable_audio_open"):
        run_training(config)
    return warnings(caplog)


@pytest.mark.slow
def test_all_of_an_autoencoder_has_a_gradient(
    autoencoder_run: AutoencoderModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(change(autoencoder_run, name="reached", max_steps=11), caplog) == []


@pytest.mark.slow
def test_frequencies_of_a_number_that_is_always_0_have_no_gradient(
    diffusion_run: DiffusionModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    """No recording is longer than the window, so that all start at its start."""
    [warning] = told(change(diffusion_run, name="reached", max_steps=11), caplog)
    assert re.fullmatch(
        r"1 of \d+ trained parameters have had no gradient in the first 10 steps: "
        r"model\.conditioner\.numbers\.seconds_start\.features\.weight",
        warning,
    )

"""What a resumed run is asked for takes effect, or is refused by the name of its field."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.training import EmaConfig, LoraConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.ema import EmaSchedule
from stable_audio_open.training.optimisation import OptimizerSettings

pytestmark = pytest.mark.slow

Change = Callable[..., Any]
KINDS = ("autoencoder_run", "adversarial_run", "diffusion_run")
OTHER = AdamWConfig(lr=1e-9, betas=(0.5, 0.6), weight_decay=0.25)


def training(config: ModelConfig, **changes: object) -> Any:
    """The same with other values in `training`."""
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, **changes)
    )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def two_steps(
    kind: str, request: pytest.FixtureRequest, change: Change, tmp_path: Path
) -> ModelConfig:
    """A run that has taken two steps, to be resumed."""
    config: ModelConfig = change(
        request.getfixturevalue(kind), output=str(tmp_path), name="run", max_steps=2
    )
    return config


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def trained(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith(("ema.", "model.autoencoder."))}


def test_settings_of_the_optimiser_take_effect(
    two_steps: ModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    before = load(run_training(two_steps))
    caplog.set_level(logging.INFO)
    schedule = InverseLRConfig(inv_gamma=3, power=1, warmup=0)
    other = training(change(two_steps, max_steps=4), optimizer=OTHER, schedule=schedule)
    adversarial = getattr(other.training, "adversarial", None)
    if adversarial is not None:
        adversarial = msgspec.structs.replace(adversarial, optimizer=OTHER, schedule=schedule)
        other = training(other, adversarial=adversarial)
    after = load(run_training(other))
    for state in after["optimizer_states"]:
        [group] = state["param_groups"]
        assert (tuple(group["betas"]), group["weight_decay"]) == ((0.5, 0.6), 0.25)
        assert group["initial_lr"] == 1e-9
        # Of two sides each has taken two of the four steps.
        steps = 4 if adversarial is None else 2
        assert group["lr"] == pytest.approx(1e-9 / (1 + steps / 3))
    # Already the first step is as small as that.
    for name, tensor in trained(before["state_dict"]).items():
        torch.testing.assert_close(after["state_dict"][name], tensor, rtol=0, atol=1e-7)
    told = [message for message in caplog.messages if "has changed" in message]
    assert told[0].startswith("training.optimizer has changed: lr 1e-09 (before: 0.00")
    assert "betas (0.5, 0.6)" in told[0]
    assert "weight_decay 0.25 (before: 0.001)" in told[0]
    if adversarial is not None:
        assert told[1].startswith("training.adversarial.optimizer has changed: lr 1e-09")


def test_the_same_settings_change_nothing_and_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    settings = OptimizerSettings(
        lr=0.1, betas=(0.8, 0.9), weight_decay=0.0, inv_gamma=7, power=0.3, warmup=0.4
    )
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer, schedule = settings.configure([weight])
    for _ in range(5):
        weight.grad = torch.randn(3)
        optimizer.step()
        schedule.step()
    before, step = optimizer.state_dict(), schedule.state_dict()
    caplog.set_level(logging.INFO)
    settings.apply(optimizer, schedule, field="training.optimizer")
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]
    assert schedule.state_dict() == step
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["autoencoder_run", "diffusion_run"], indirect=True)
@pytest.mark.parametrize("offload", [False, True])
def test_an_average_can_be_switched_on_and_off(
    two_steps: ModelConfig, kind: str, change: Change, offload: bool
) -> None:
    without = training(two_steps, ema=None)
    before = load(run_training(without))["state_dict"]
    assert not any(name.startswith("ema.") for name in before)
    ema = EmaConfig(decay=0.6, power=0.75, offload=offload)
    after = load(run_training(training(change(two_steps, max_steps=3), ema=ema)))["state_dict"]
    prefix = "model." if kind == "autoencoder_run" else "model.transformer."
    averaged = {k.removeprefix("ema."): v for k, v in after.items() if k.startswith("ema.")}
    assert averaged.keys() == {k.removeprefix(prefix) for k in before if k.startswith(prefix)}
    decay = EmaSchedule(decay=0.6, power=0.75).at(3)
    for name, tensor in averaged.items():
        expected = torch.lerp(before[prefix + name], after[prefix + name], 1 - decay)
        torch.testing.assert_close(tensor, expected)
    # And off again; the weights are those of a run that never had one.
    off = load(run_training(change(without, max_steps=4)))["state_dict"]
    never = load(run_training(change(without, max_steps=4, name="never")))["state_dict"]
    assert off.keys() == never.keys()
    assert all(torch.equal(off[name], tensor) for name, tensor in never.items())


def refuse(config: ModelConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        run_training(config)
    assert "\n" not in str(caught.value)
    assert "start another run (training.trainer.name)" in str(caught.value)


@pytest.fixture
def autoencoder(autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path) -> Any:
    config = change(autoencoder_run, output=str(tmp_path), name="run", max_steps=1)
    run_training(config)
    return change(config, max_steps=2)


def test_discriminators_that_come_or_change_are_refused(
    autoencoder: Any, adversarial_run: AutoencoderModelConfig, change: Change
) -> None:
    adversarial: Any = adversarial_run.training
    refuse(
        training(autoencoder, adversarial=adversarial.adversarial),
        r"00000001\.ckpt: training\.adversarial: the checkpoint was trained with none, and the "
        "configuration has one; change it back",
    )
    both = change(
        training(autoencoder, adversarial=adversarial.adversarial), name="both", max_steps=1
    )
    run_training(both)
    more = change(both, max_steps=2)
    refuse(
        training(more, adversarial=None),
        r"training\.adversarial: the checkpoint was trained with one, and the configuration has "
        "null",
    )
    other = msgspec.structs.replace(adversarial.adversarial, filters=6)
    refuse(training(more, adversarial=other), r"trained with another, and the .* has another")


def test_another_part_of_an_autoencoder_is_refused(
    autoencoder: Any, tiny_autoencoder_folder: Path
) -> None:
    decoder = training(autoencoder, train="decoder", initialize=str(tiny_autoencoder_folder))
    refuse(decoder, r"training\.train: \d+ parameters were trained, and by the .* \d+ are")


def test_an_adapter_that_comes_or_changes_is_refused(
    diffusion_run: DiffusionModelConfig, change: Change, tiny_model_folder: Path, tmp_path: Path
) -> None:
    whole = training(diffusion_run, initialize=str(tiny_model_folder), autoencoder=None)
    whole = change(whole, output=str(tmp_path), name="whole", max_steps=1)
    run_training(whole)
    with_adapter = training(change(whole, max_steps=2), lora=LoraConfig(rank=2))
    refuse(with_adapter, r"training\.lora: the checkpoint was trained with none, and .* has one")
    adapted = change(with_adapter, name="adapted", max_steps=1)
    run_training(adapted)
    more = change(adapted, max_steps=2)
    refuse(training(more, lora=None), r"training\.lora: .* trained with one, and .* has null")
    refuse(training(more, lora=LoraConfig(rank=3)), r"training\.lora: .* with another, and")


def test_another_autoencoder_below_a_diffusion_model_is_refused(
    diffusion_run: DiffusionModelConfig,
    tiny_autoencoder_config: AutoencoderModelConfig,
    change: Change,
    tmp_path: Path,
) -> None:
    """The latents would be those of one, and the checkpoint would hold the other."""
    config = change(diffusion_run, output=str(tmp_path), name="run", max_steps=1)
    run_training(config)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        other = build_autoencoder(tiny_autoencoder_config)
    save_native(other, tiny_autoencoder_config, tmp_path / "other")
    changed = training(change(config, max_steps=2), autoencoder=str(tmp_path / "other"))
    refuse(changed, re.escape("another autoencoder than training.autoencoder (or training.init"))

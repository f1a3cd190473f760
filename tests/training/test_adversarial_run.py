"""Runs of the autoencoder against discriminators, and of its decoder alone."""

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.data import autoencoder_data
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import autoencoder_task, new_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load
from stable_audio_open.training.tasks.adversarial import AdversarialTraining

pytestmark = pytest.mark.numerical

Change = Callable[..., AutoencoderModelConfig]


@pytest.fixture(scope="module")
def config(adversarial_run: AutoencoderModelConfig, change: Change) -> AutoencoderModelConfig:
    return change(adversarial_run, name="adversarial", gradient_clip=100.0)


def with_training(config: AutoencoderModelConfig, **changes: Any) -> AutoencoderModelConfig:
    assert config.training is not None
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, **changes)
    )


@pytest.fixture(scope="module")
def last(config: AutoencoderModelConfig) -> Path:
    return run_training(config)


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def changed(before: dict[str, Tensor], after: dict[str, Tensor], prefix: str) -> bool:
    assert before.keys() == after.keys()
    keys = [key for key in before if key.startswith(prefix)]
    assert keys
    return any(not torch.equal(before[key], after[key]) for key in keys)


def task_and_audio(config: AutoencoderModelConfig) -> tuple[AdversarialTraining, Tensor]:
    assert config.training is not None
    assert config.data is not None
    model = new_autoencoder(config, config.training)
    task = autoencoder_task(config, config.training, model)
    assert isinstance(task, AdversarialTraining)
    loader = autoencoder_data(training_run(config)).train_dataloader()
    return task, next(iter(loader))["audio"]


def with_gradient(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is not None]


def test_autoencoder_step_leaves_no_gradient_on_discriminators(
    config: AutoencoderModelConfig,
) -> None:
    task, audio = task_and_audio(config)
    task.autoencoder_loss(audio, 0).loss.backward()
    assert with_gradient(task.discriminator) == []
    assert with_gradient(task.model) == [name for name, _ in task.model.named_parameters()]
    assert all(p.requires_grad for p in task.discriminator.parameters())


def test_discriminator_step_leaves_no_gradient_on_the_autoencoder(
    config: AutoencoderModelConfig,
) -> None:
    task, audio = task_and_audio(config)
    task.discriminator_loss(audio, 0).backward()
    assert with_gradient(task.model) == []
    names = [name for name, _ in task.discriminator.named_parameters()]
    assert with_gradient(task.discriminator) == names


def test_discriminators_change_what_the_autoencoder_follows(
    config: AutoencoderModelConfig,
) -> None:
    task, audio = task_and_audio(config)
    alone = task.autoencoder_loss(audio, 0, against=False).loss
    both = task.autoencoder_loss(audio, 0).loss
    judgements = task.discriminator(task.decode_without_gradient(audio, 0))
    real = task.discriminator(audio)
    adversarial = -sum(j.logits.mean() for j in judgements) / 2
    matching = (
        sum(
            sum((a - b).abs().mean() for a, b in zip(r.features, d.features, strict=True)) / 5
            for r, d in zip(real, judgements, strict=True)
        )
        / 2
    )
    torch.testing.assert_close(both, alone + 0.1 * adversarial + 5.0 * matching)


def test_sides_take_turns(last: Path, config: AutoencoderModelConfig) -> None:
    task, _ = task_and_audio(config)
    states = [task.state_dict(), *(state(last.with_name(f"0000000{n}.ckpt")) for n in (1, 2, 3, 4))]
    turns = ["autoencoder", "discriminators"] * 2
    for turn, (before, after) in zip(turns, pairwise(states), strict=True):
        mine = turn == "autoencoder"
        assert changed(before, after, "model.") == mine
        assert changed(before, after, "ema.") == mine
        assert changed(before, after, "discriminator.") != mine


def test_average_counts_the_steps_of_the_autoencoder(last: Path) -> None:
    before, after = (state(last.with_name(f"0000000{n}.ckpt")) for n in (2, 3))
    decay = 1 - (1 + 2) ** -0.75  # its second update
    assert decay < 0.6
    for key in (k.removeprefix("ema.") for k in after if k.startswith("ema.")):
        expected = decay * before[f"ema.{key}"] + (1 - decay) * after[f"model.{key}"]
        torch.testing.assert_close(after[f"ema.{key}"], expected)


def test_log_holds_the_latest_of_both_sides(last: Path) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [0, 1, 2]  # where an epoch ends, all starts anew
    for name in ("train/loss", "train/loss/adversarial", "train/loss/feature_matching"):
        assert float(rows[0][name]) == float(rows[1][name]) != float(rows[2][name])
    hinge = [row["train/loss/discriminator"] for row in rows]
    assert hinge[0] == ""
    assert hinge[1] == hinge[2]
    assert float(hinge[1]) == pytest.approx(2.0, abs=0.5)  # they cannot tell anything yet


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_ends_where_the_whole_run_does(
    last: Path, config: AutoencoderModelConfig, change: Change, stop: int
) -> None:
    name = f"adversarial_{stop}"
    run_training(change(config, name=name, max_steps=stop))
    again = state(run_training(change(config, name=name)))
    whole = state(last)
    assert again.keys() == whole.keys()
    assert [key for key in whole if not torch.equal(again[key], whole[key])] == []


@pytest.mark.slow
def test_before_their_first_step_only_the_autoencoder_trains(
    config: AutoencoderModelConfig, change: Change
) -> None:
    assert config.training is not None
    assert config.training.adversarial is not None
    later = msgspec.structs.replace(config.training.adversarial, first_step=2)
    last = run_training(change(with_training(config, adversarial=later), name="later"))
    states = [state(last.with_name(f"0000000{n}.ckpt")) for n in (1, 2, 3, 4)]
    turns = [changed(a, b, "model.") for a, b in pairwise(states)]
    assert turns == [True, True, False]
    assert not changed(states[0], states[2], "discriminator.")
    assert changed(states[2], states[3], "discriminator.")


def test_a_checkpoint_loads_without_its_discriminators(last: Path) -> None:
    model = load(last)
    assert isinstance(model, AudioAutoencoder)
    assert model.state_dict().keys() == load(last, use_ema=False).state_dict().keys()


@pytest.fixture(scope="module")
def decoder_phase(last: Path, config: AutoencoderModelConfig, change: Change) -> Path:
    second = with_training(config, train="decoder", initialize=str(last), batch_size=6)
    return run_training(change(second, name="decoder"))


@pytest.mark.slow
def test_second_phase_keeps_every_byte_of_the_encoder(last: Path, decoder_phase: Path) -> None:
    """The encoder is the average of the first phase: the one that makes the latents."""
    first, second = load(last), load(decoder_phase)
    online = load(decoder_phase, use_ema=False)
    assert isinstance(first, AudioAutoencoder)
    for model in (second, online):
        assert isinstance(model, AudioAutoencoder)
        theirs = model.encoder.state_dict()
        for key, tensor in first.encoder.state_dict().items():
            assert tensor.numpy().tobytes() == theirs[key].numpy().tobytes(), key
        moved = model.decoder.state_dict()
        assert any(not torch.equal(t, moved[k]) for k, t in first.decoder.state_dict().items())


@pytest.mark.slow
def test_second_phase_goes_on_with_the_discriminators(
    last: Path, decoder_phase: Path, config: AutoencoderModelConfig
) -> None:
    first = state(last)
    start = state(decoder_phase.with_name("00000001.ckpt"))  # an autoencoder step
    assert not changed(
        *({k: v for k, v in s.items() if k.startswith("discriminator.")} for s in (first, start)),
        "discriminator.",
    )
    new = with_training(config, initialize=None)
    assert new.training is not None
    task = autoencoder_task(new, new.training, new_autoencoder(new, new.training))
    assert changed(task.state_dict(), start, "discriminator.")


def test_gradients_are_limited_and_logged_as_they_were(
    config: AutoencoderModelConfig, change: Change
) -> None:
    """Nothing moves when the norm is next to nothing: AdamW is told of it by its running mean."""
    last = run_training(change(config, name="clipped", gradient_clip=1e-6, max_steps=2))
    with (last.parents[1] / "logs" / "metrics.csv").open() as file:
        norms = [
            float(row["train/gradient_norm"])
            for row in csv.DictReader(file)
            if row["train/gradient_norm"]
        ]
    assert len(norms) == 2
    assert min(norms) > 1e-3
    for optimizer in torch.load(last, weights_only=True)["optimizer_states"]:
        means = [entry["exp_avg"] for entry in optimizer["state"].values()]
        norm = torch.stack([mean.norm() for mean in means]).norm()
        # After one step of it: (1 - beta) of the limited gradient.
        assert float(norm) == pytest.approx((1 - 0.8) * 1e-6, rel=1e-2)

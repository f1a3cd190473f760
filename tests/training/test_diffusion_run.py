"""Runs of the second stage on synthesised recordings."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stable_audio_open.builders.data import diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import diffusion_task
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.data.manifest import read_manifest, write_manifest
from stable_audio_open.jobs.train import run_training
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.prompts import PromptSettings
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

Change = Callable[..., DiffusionModelConfig]
TEXT = "conditioner.texts.prompt.encoder."


@pytest.fixture(scope="module")
def last(diffusion_run: DiffusionModelConfig) -> Path:
    return run_training(diffusion_run)


@pytest.fixture(scope="module")
def trainable_run(diffusion_run: DiffusionModelConfig) -> DiffusionModelConfig:
    """The text encoder, which has dropout, is trained too."""
    text, *numbers = diffusion_run.conditioning.conditioners
    text = msgspec.structs.replace(text, trainable=True)
    conditioning = msgspec.structs.replace(
        diffusion_run.conditioning, conditioners=(text, *numbers)
    )
    return msgspec.structs.replace(diffusion_run, conditioning=conditioning)


@pytest.fixture(scope="module")
def trainable_last(trainable_run: DiffusionModelConfig, change: Change) -> Path:
    return run_training(change(trainable_run, name="trainable"))


def state(checkpoint: Path) -> dict[str, Tensor]:
    read: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    weights: dict[str, Tensor] = read["state_dict"]
    return weights


def part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def with_training(config: DiffusionModelConfig, **changes: Any) -> DiffusionModelConfig:
    training: Any = config.training
    return msgspec.structs.replace(config, training=msgspec.structs.replace(training, **changes))


def text_encoder(model: LatentDiffusion) -> nn.Module:
    return model.conditioner.get_submodule("texts.prompt.encoder")


def differing(found: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    assert found.keys() == expected.keys()
    return [key for key in found if not torch.equal(found[key], expected[key])]


def initial(config: DiffusionModelConfig) -> LatentDiffusion:
    assert config.training is not None
    return initial_model(config, config.training)


def task_of(config: DiffusionModelConfig, model: LatentDiffusion) -> DiffusionTraining:
    assert config.training is not None
    task = diffusion_task(config, config.training, model)
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    return task


def loss_of(config: DiffusionModelConfig, model: LatentDiffusion, *, batches: int = 3) -> float:
    """The mean loss over the first batches of epoch 0, with timesteps and noise of a new run."""
    assert config.training is not None
    assert config.data is not None
    data = diffusion_data(training_run(config), model.autoencoder)
    task = task_of(config, model)
    losses = [
        float(task.training_step(batch, index).detach())
        for index, batch in zip(range(batches), data.train_dataloader(), strict=False)
    ]
    return sum(losses) / batches


def test_loss_falls_within_two_steps(last: Path, diffusion_run: DiffusionModelConfig) -> None:
    before = loss_of(diffusion_run, initial(diffusion_run))
    after = load(last.with_name("00000002.ckpt"), use_ema=False)
    assert isinstance(after, StableAudio)
    assert loss_of(diffusion_run, after) < 0.99 * before


def test_the_log_holds_the_loss(last: Path, diffusion_run: DiffusionModelConfig) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3]
    first = loss_of(diffusion_run, initial(diffusion_run), batches=1)
    assert float(rows[0]["train/loss"]) == pytest.approx(first, rel=1e-5)


# An epoch has 3 batches: after step 2 amid it, after step 3 at its end and between two checkpoints.
@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_run_ends_where_the_whole_run_does(
    trainable_last: Path, trainable_run: DiffusionModelConfig, change: Change, stop: int
) -> None:
    settings = {"name": f"stopped_{stop}", "checkpoint": CheckpointConfig(every=2)}
    run_training(change(trainable_run, max_steps=stop, **settings))
    again = run_training(change(trainable_run, max_steps=4, **settings))
    assert differing(state(again), state(trainable_last)) == []


@pytest.mark.slow
def test_a_resumed_run_draws_the_same_of_several_captions(
    diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    assert isinstance(diffusion_run.data, FolderConfig)
    folder = Path(diffusion_run.data.path)
    described = [
        msgspec.structs.replace(own, captions=(own.caption, f"one more {own.caption}", "noise"))
        for own in read_manifest(folder)
    ]
    write_manifest(folder / "several.jsonl", described)
    data = msgspec.structs.replace(diffusion_run.data, manifest="several.jsonl", caption_share=1)
    config = msgspec.structs.replace(diffusion_run, data=data)
    whole = run_training(change(config, max_steps=4, name="captions"))
    run_training(change(config, max_steps=2, name="captions_stopped"))
    again = run_training(change(config, max_steps=4, name="captions_stopped"))
    assert differing(state(again), state(whole)) == []


def test_the_average_covers_the_transformer_alone(
    last: Path, diffusion_run: DiffusionModelConfig
) -> None:
    before = initial(diffusion_run).transformer.state_dict()
    for step in range(1, 5):
        weights = state(last.with_name(f"{step:08d}.ckpt"))
        online, decay = part(weights, "model.transformer."), min(0.6, 1 - (1 + step) ** -0.75)
        found = part(weights, "ema.")
        expected = {k: decay * before[k] + (1 - decay) * online[k] for k in online}
        torch.testing.assert_close(found, expected)
        before = found


def test_a_checkpoint_loads_with_the_averaged_transformer_by_default(last: Path) -> None:
    weights = state(last)
    online = part(weights, "model.")
    averaged = online | {f"transformer.{k}": v for k, v in part(weights, "ema.").items()}
    for use_ema, expected in ((True, averaged), (False, online)):
        loaded = load(last, use_ema=use_ema).state_dict()
        kept = {k: v for k, v in loaded.items() if not k.startswith(TEXT)}
        assert differing(kept, expected) == []


def test_the_optimiser_is_given_all_but_the_frozen_parts(
    diffusion_run: DiffusionModelConfig,
) -> None:
    model = initial(diffusion_run)
    optimizer = task_of(diffusion_run, model).configure_optimizers()["optimizer"]
    found = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    frozen = ("autoencoder.", TEXT)
    assert found == {
        id(parameter) for name, parameter in model.named_parameters() if not name.startswith(frozen)
    }


def test_the_autoencoder_is_frozen(last: Path, tiny_autoencoder_folder: Path) -> None:
    source = load_file(tiny_autoencoder_folder / "model.safetensors")
    found = part(state(last), "model.autoencoder.")
    assert found.keys() == source.keys()
    for key, tensor in source.items():
        assert found[key].numpy().tobytes() == tensor.numpy().tobytes()


def test_the_number_embedders_are_trained(last: Path, diffusion_run: DiffusionModelConfig) -> None:
    before = initial(diffusion_run).conditioner.numbers.state_dict()
    after = part(state(last), "model.conditioner.numbers.")
    assert sorted(differing(after, before)) == sorted(before)


def test_a_frozen_text_encoder_is_neither_trained_nor_kept(
    last: Path, text_encoder_folder: Path
) -> None:
    assert not [key for key in state(last) if TEXT in key]
    model = load(last)
    assert isinstance(model, StableAudio)
    source = load_file(text_encoder_folder / "model.safetensors")
    found = text_encoder(model).state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in source.items())


def test_a_trainable_text_encoder_is_trained_and_kept(
    trainable_last: Path, text_encoder_folder: Path
) -> None:
    source = load_file(text_encoder_folder / "model.safetensors")
    found = part(state(trainable_last), f"model.{TEXT}")
    assert not [key for key, tensor in source.items() if torch.equal(found[key], tensor)]
    model = load(trainable_last)
    assert isinstance(model, StableAudio)
    assert differing(dict(text_encoder(model).state_dict()), found) == []


def test_only_a_trainable_text_encoder_has_dropout_on(
    diffusion_run: DiffusionModelConfig, trainable_run: DiffusionModelConfig
) -> None:
    assert not text_encoder(initial(diffusion_run)).training
    assert text_encoder(initial(trainable_run)).training


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("autoencoder", "small: training.autoencoder is missing; give the checkpoint of a trained"),
        ("trainer", "small: `training.trainer` is missing; it says how long to train"),
    ],
)
def test_a_run_needs_an_autoencoder_and_a_trainer(
    diffusion_run: DiffusionModelConfig, change: Change, field: str, message: str
) -> None:
    config = change(diffusion_run, name="lacking")
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        run_training(with_training(config, **{field: None}))


def test_a_whole_model_is_no_autoencoder(
    diffusion_run: DiffusionModelConfig, tiny_model_folder: Path, change: Change
) -> None:
    config = change(diffusion_run, name="wrong")
    wrong = with_training(config, autoencoder=str(tiny_model_folder))
    with pytest.raises(ValueError, match=r"holds a whole model; give it as training\.initialize"):
        run_training(wrong)


def test_a_run_can_start_from_a_whole_model(
    diffusion_run: DiffusionModelConfig, last: Path
) -> None:
    config = with_training(diffusion_run, autoencoder=None, initialize=str(last))
    assert differing(dict(initial(config).state_dict()), dict(load(last).state_dict())) == []


def test_prompts_are_drawn_of_all_metadata_where_they_are_configured(
    diffusion_run: DiffusionModelConfig,
) -> None:
    assert isinstance(diffusion_run.data, FolderConfig)
    assert diffusion_run.training is not None
    folder = Path(diffusion_run.data.path)
    described = [
        msgspec.structs.replace(own, source="fma:1", artist="dadabots")
        for own in read_manifest(folder)
    ]
    write_manifest(folder / "described.jsonl", described)
    settings = PromptSettings(fields=("artist",), named_share=1, cases=("as written",))
    data = msgspec.structs.replace(
        diffusion_run.data, manifest="described.jsonl", caption_share=0, prompts=settings
    )
    model = initial_model(diffusion_run, diffusion_run.training)
    described = msgspec.structs.replace(diffusion_run, data=data)
    batches = diffusion_data(training_run(described), model.autoencoder)
    dataset = batches.dataset
    assert {dataset[index]["prompt"] for index in range(len(dataset))} == {"artist: dadabots"}


def test_the_learning_rate_falls_by_steps_and_not_by_epochs(last: Path) -> None:
    """Four steps, the last of them in the second epoch; saved is what the next step will use."""
    expected = [1e-3 * (1 - 0.5 ** (n + 1)) * (1 + n / 1000) ** -0.5 for n in range(5)]
    for step in range(1, 5):
        saved = torch.load(last.with_name(f"{step:08d}.ckpt"), weights_only=True)
        rate = saved["optimizer_states"][0]["param_groups"][0]["lr"]
        assert rate == pytest.approx(expected[step], rel=1e-12)


@pytest.mark.parametrize(("share", "kept"), [(0.0, 4), (1.0, 0)])
def test_guidance_dropout_of_the_configuration_reaches_the_training(
    share: float, kept: int, diffusion_run: DiffusionModelConfig
) -> None:
    """All tokens of an item are 0 where it is trained without conditioning."""
    config = with_training(diffusion_run, guidance_dropout=share)
    task = task_of(config, initial(config))
    seen: list[Tensor] = []
    task.model.transformer.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[2].cross.detach())
    )
    given = {
        "latents": torch.zeros(4, 8, 500),
        "std": torch.ones(4, 8, 500),
        "prompt": ["deep drum"] * 4,
        "seconds_start": torch.zeros(4),
        "seconds_total": torch.ones(4),
    }
    task.training_step(given, 0)
    [tokens] = seen
    assert int(tokens.abs().amax(dim=(1, 2)).gt(0).sum()) == kept

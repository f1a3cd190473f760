"""Rectified flows and numbers of other names, trained for a few steps."""

import csv
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from stable_audio_open.builders.data import diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import diffusion_task
from stable_audio_open.cli.main import main
from stable_audio_open.config.conditioning import NumberConfig
from stable_audio_open.config.model import DiffusionModelConfig, TimestepShiftConfig
from stable_audio_open.config.read import encode_config
from stable_audio_open.config.training import DemoConfig
from stable_audio_open.diffusion.objective import TimestepSampler
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

Change = Callable[..., Any]


@pytest.fixture(scope="module")
def with_bpm(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """The recordings, each with a tempo."""
    folder = tmp_path_factory.mktemp("with_bpm") / "recordings"
    shutil.copytree(recordings, folder)
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    lines = [line | {"bpm": 60 + 20 * index} for index, line in enumerate(lines)]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def flow_run(diffusion_run: DiffusionModelConfig, with_bpm: Path, change: Change) -> Any:
    """Like the small model: a flow that knows how long a sound is, and its tempo."""
    text, _, total = diffusion_run.conditioning.conditioners
    conditioning = msgspec.structs.replace(
        diffusion_run.conditioning,
        conditioners=(text, total, NumberConfig(id="bpm", min=40, max=240)),
        cross_attention=("prompt", "seconds_total", "bpm"),
        global_=("seconds_total",),
    )
    transformer = msgspec.structs.replace(
        diffusion_run.transformer, global_width=16, qk_norm="ln", project_context=True
    )
    demo = DemoConfig(
        every=4,
        steps=2,
        count=1,
        conditions=({"prompt": "deep drum", "seconds_total": 1, "bpm": 90},),
        guidance_scales=(1.0,),
    )
    training: Any = diffusion_run.training
    config = msgspec.structs.replace(
        diffusion_run,
        objective="rectified_flow",
        timestep_shift=TimestepShiftConfig(min_length=100, max_length=1000),
        conditioning=conditioning,
        transformer=transformer,
        data=msgspec.structs.replace(
            diffusion_run.data, path=str(with_bpm), validation="manifest.jsonl"
        ),
        training=msgspec.structs.replace(
            training, timesteps="logit_normal", demo=demo, log_loss_by_timestep=True
        ),
    )
    return change(config, name="flow", validate_every=2)


@pytest.fixture(scope="module")
def last(flow_run: DiffusionModelConfig) -> Path:
    return run_training(flow_run)


def task_of(config: DiffusionModelConfig, model: Any) -> DiffusionTraining:
    assert config.training is not None
    task = diffusion_task(config, config.training, model)
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    return task


def loss_of(config: DiffusionModelConfig, model: Any) -> float:
    assert config.training is not None
    batches = diffusion_data(training_run(config), model.autoencoder).train_dataloader()
    task = task_of(config, model)
    found = [float(task.training_step(batch, i).detach()) for i, batch in enumerate(batches)]
    return sum(found) / len(found)


def test_loss_falls_within_two_steps(last: Path, flow_run: DiffusionModelConfig) -> None:
    assert flow_run.training is not None
    before = loss_of(flow_run, initial_model(flow_run, flow_run.training))
    after = StableAudio.from_pretrained(
        last.with_name("00000002.ckpt"), device="cpu", use_ema=False
    )
    assert (after.objective, after.config.objective) == ("rectified_flow", "rectified_flow")
    assert after.timestep_shift is not None
    assert loss_of(flow_run, after) < 0.99 * before


def test_what_was_trained_generates_by_its_own_defaults(last: Path) -> None:
    model = StableAudio.from_pretrained(last, device="cpu")
    assert model.generate("deep drum", conditions={"bpm": 90}, seed=1, steps=3).duration == 1
    with pytest.raises(ValueError, match="the model is conditioned on bpm; give conditions="):
        model.generate("deep drum", seed=1)


def test_validation_and_bands_are_logged(last: Path) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("validation/loss", "validation/loss/t_0.00_0.25", "validation/loss/t_0.75_1.00"):
        assert sum(bool(row[name]) for row in rows) == 2
    assert any(row.get("train/loss/t_0.50_0.75") for row in rows)


def test_demos_are_conditioned_on_all_numbers(last: Path) -> None:
    assert len(list((last.parent.parent / "demos" / "step_00000004").glob("*.wav"))) == 1


def test_the_loss_is_that_of_the_straight_path(flow_run: DiffusionModelConfig) -> None:
    """Written down independently: x_t = (1 - t) x + t eps, v = eps - x, t shifted."""
    assert flow_run.training is not None
    model = initial_model(flow_run, flow_run.training)
    training = msgspec.structs.replace(
        flow_run.training, guidance_dropout=0.0, latents="means", activation_checkpointing="none"
    )
    config = msgspec.structs.replace(flow_run, training=training)
    batch = next(iter(diffusion_data(training_run(config), model.autoencoder).train_dataloader()))
    found = float(task_of(config, model).training_step(batch, 0).detach())

    random = BatchRandomness(seed=5, step=0, batch=0, items=2, rank=0, processes=1)
    x = batch["latents"]
    noise = random.normal(*x.shape[1:])
    drawn = TimestepSampler(seed=5, distribution="logit_normal").draw(2)
    mu = 0.5 + 0.65 * (500 - 100) / 900
    odds = torch.exp(torch.tensor(mu)) * drawn / (1 - drawn)
    t = odds / (1 + odds)
    numbers = {name: batch[name].tolist() for name in ("seconds_total", "bpm")}
    told = [
        {"prompt": prompt, **{name: values[i] for name, values in numbers.items()}}
        for i, prompt in enumerate(batch["prompt"])
    ]
    with torch.no_grad():
        conditioning = model.conditioner(model.conditioner.prepare(told))
        x_t = (1 - t[:, None, None]) * x + t[:, None, None] * noise
        v = model.transformer(x_t, t, conditioning)
    assert found == pytest.approx(float((v - (noise - x)).square().mean()), rel=1e-5)


def test_batches_hold_the_tempo_of_their_recordings(
    flow_run: DiffusionModelConfig, with_bpm: Path
) -> None:
    assert flow_run.training is not None
    lines = [json.loads(line) for line in (with_bpm / "manifest.jsonl").read_text().splitlines()]
    tempo = {line["file"]: line["bpm"] for line in lines}
    model = initial_model(flow_run, flow_run.training)
    seen = {}
    for batch in diffusion_data(training_run(flow_run), model.autoencoder).train_dataloader():
        seen |= dict(zip(batch["file"], batch["bpm"].tolist(), strict=True))
    assert seen == tempo


def test_shards_carry_the_numbers(
    flow_run: DiffusionModelConfig, with_bpm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.json").write_bytes(encode_config(flow_run))
    assert main(["encode", "--config", "flow.json", "--output", "latents"]) == 0
    with tarfile.open("latents/shard-000000.tar") as tar:
        member = tar.extractfile("000000001.json")
        assert member is not None
        assert json.load(member)["bpm"] == 80
    data = json.dumps({"type": "shards", "path": "latents"})
    words = ["train", "--config", "flow.json", f"data={data}", "training.trainer.max_steps=1"]
    words += ["training.trainer.name=sharded", "training.demo=null"]
    assert main(words) == 0


def test_a_missing_number_ends_the_run_before_it_starts(
    flow_run: DiffusionModelConfig, recordings: Path, change: Change
) -> None:
    data = msgspec.structs.replace(flow_run.data, path=str(recordings))
    config = change(msgspec.structs.replace(flow_run, data=data), name="without")
    with pytest.raises(ValueError, match=r"conditioned on bpm, and 6 of 6 recordings have no numb"):
        run_training(config)


def test_a_run_of_another_objective_is_not_gone_on_with(
    last: Path, flow_run: DiffusionModelConfig
) -> None:
    assert flow_run.training is not None
    changed = msgspec.structs.replace(flow_run, objective="v", timestep_shift=None)
    with pytest.raises(ValueError, match="another configuration; it differs in objective, timeste"):
        run_training(changed)
    assert last.is_file()

"""Two processes on one machine, over gloo."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.post_training import PostTrainingConfig, WarmUpConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.config.training import (
    DemoConfig,
    LoraConfig,
)
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio, load

pytestmark = pytest.mark.slow

Change = Callable[..., DiffusionModelConfig]

ROOT = Path(__file__).parents[2]
CLOSE: dict[str, float] = {"rtol": 1e-4, "atol": 1e-5}
"""Gradients are summed in another order; Adam divides by their size."""


def state(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def command(*words: str) -> str:
    """Run a command as a user gives it, with this Python, and return what it logged."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def torchrun(*words: str) -> str:
    return command("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words)


def written(config: ModelConfig, folder: Path) -> str:
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    return str(file)


def run_two(config: ModelConfig, folder: Path, *options: str) -> Path:
    """Lightning starts the second process."""
    command("scripts/train.py", "--config", written(config, folder), *options)
    training: Any = config.training
    return Path(training.trainer.output) / training.trainer.name / "checkpoints" / "last.ckpt"


def sized(config: DiffusionModelConfig, items: int, **settings: Any) -> DiffusionModelConfig:
    """With batches of so many items to a process."""
    training = msgspec.structs.replace(
        config.training, batch_size=items, guidance_dropout=0.4, **settings
    )
    return msgspec.structs.replace(config, training=training)


def assert_same_weights(found: Path, expected: Path) -> None:
    found_state, expected_state = state(found), state(expected)
    assert list(found_state) == list(expected_state)
    for key, tensor in expected_state.items():
        torch.testing.assert_close(found_state[key], tensor, **CLOSE, msg=key)


def assert_same_optimiser(found: Path, expected: Path) -> None:
    found_state, expected_state = (
        torch.load(path, weights_only=True)["optimizer_states"] for path in (found, expected)
    )
    torch.testing.assert_close(found_state, expected_state, **CLOSE)


def test_two_processes_of_two_are_one_of_four(
    diffusion_run: DiffusionModelConfig, change: Change, tmp_path: Path
) -> None:
    """Items, noise, timesteps and dropout are those of the whole batch."""
    run = change(diffusion_run, output=str(tmp_path), max_steps=5)
    one = run_training(change(sized(run, 4), name="one"))
    two = run_two(change(sized(run, 2), name="two", devices=2, strategy="ddp"), tmp_path)
    assert_same_weights(two, one)
    before, after = state(one.with_name("00000002.ckpt")), state(one)
    moved = [key for key in after if float((after[key] - before[key]).abs().max()) > 1e-3]
    assert len(moved) > 10


def test_two_processes_of_two_are_one_of_four_for_autoencoders(
    adversarial_run: AutoencoderModelConfig,
    change: Callable[..., AutoencoderModelConfig],
    tmp_path: Path,
) -> None:
    """Half of the recordings are mono; both sides of the training take two steps."""

    def run(items: int, **trainer: Any) -> AutoencoderModelConfig:
        training = msgspec.structs.replace(adversarial_run.training, batch_size=items)
        config = msgspec.structs.replace(adversarial_run, training=training)
        return change(config, output=str(tmp_path), **trainer)

    one = run_training(run(4, name="one"))
    two = run_two(run(2, name="two", devices=2, strategy="ddp"), tmp_path)
    before, after, split = state(one.with_name("00000001.ckpt")), state(one), state(two)
    for side in ("model.", "discriminator."):
        keys = [key for key in after if key.startswith(side)]
        assert any(float((after[key] - before[key]).abs().max()) > 1e-3 for key in keys), side
    for key in (key for key in after if not key.startswith("discriminator.")):
        torch.testing.assert_close(split[key], after[key], **CLOSE, msg=key)
    # Some gradients of the discriminators are rounding alone, which Adam makes whole steps of:
    # their first step tells.
    found, expected = (
        torch.load(path.with_name("00000002.ckpt"), weights_only=True)["optimizer_states"][1][
            "state"
        ]
        for path in (two, one)
    )
    largest = max(float(means["exp_avg"].abs().max()) for means in expected.values())
    for number, means in expected.items():
        torch.testing.assert_close(
            found[number]["exp_avg"], means["exp_avg"], rtol=1e-3, atol=1e-3 * largest
        )


def test_two_processes_of_two_are_one_of_four_for_students(
    diffusion_run: DiffusionModelConfig, change: Change, tmp_path: Path
) -> None:
    """A step of the warm-up, one of the student and one of the discriminator.

    Pairs of prompts are left out: they are drawn among the items of a process.
    """
    flow = msgspec.structs.replace(diffusion_run, objective="rectified_flow")
    teacher = run_training(change(flow, output=str(tmp_path), name="teacher", max_steps=1))
    training: Any = diffusion_run.training
    quick = msgspec.structs.replace(training.optimizer, lr=0.01)
    training = msgspec.structs.replace(
        training,
        optimizer=quick,
        autoencoder=None,
        initialize=str(teacher),
        guidance_dropout=0.0,
        adversarial=PostTrainingConfig(
            optimizer=quick,
            schedule=training.schedule,
            warm_up=WarmUpConfig(steps=1, teacher_steps=2, guidance_scale=2.0),
            channels=8,
            contrastive=0.0,
        ),
    )
    student = msgspec.structs.replace(diffusion_run, objective="rf_denoiser", training=training)

    def run(items: int, **trainer: Any) -> DiffusionModelConfig:
        own = msgspec.structs.replace(training, batch_size=items)
        config = msgspec.structs.replace(student, training=own)
        return change(config, output=str(tmp_path), max_steps=3, **trainer)

    one = run_training(run(4, name="one"))
    two = run_two(run(2, name="two", devices=2, strategy="ddp"), tmp_path)
    before, after, split = state(one.with_name("00000001.ckpt")), state(one), state(two)
    for side in ("model.transformer.", "discriminator."):
        keys = [key for key in after if key.startswith(side)]
        assert any(float((after[key] - before[key]).abs().max()) > 1e-3 for key in keys), side
    for key in (key for key in after if not key.startswith("discriminator.")):
        # A hundredth of a step.
        torch.testing.assert_close(split[key], after[key], rtol=1e-4, atol=1e-4, msg=key)
    for side in (0, 1):
        found, expected = (
            torch.load(path, weights_only=True)["optimizer_states"][side]["state"]
            for path in (two, one)
        )
        assert found.keys() == expected.keys() != set()
        for number, means in expected.items():
            torch.testing.assert_close(
                found[number]["exp_avg"],
                means["exp_avg"],
                rtol=1e-3,
                atol=1e-3 * float(means["exp_avg"].abs().max()),
            )


class Runs(NamedTuple):
    """The same run of ten steps, its first and second half apart, with demos after each."""

    whole: Path
    """Of one process with batches of four."""
    split: Path
    """Of two processes with half of each batch and of the model, resumed after step 5."""
    config: DiffusionModelConfig
    """Of the split run."""


@pytest.fixture(scope="module")
def runs(
    diffusion_run: DiffusionModelConfig, change: Change, tmp_path_factory: pytest.TempPathFactory
) -> Runs:
    folder = tmp_path_factory.mktemp("split")
    demo = DemoConfig(
        every=5,
        steps=2,
        count=1,
        conditions=({"prompt": "deep drum", "seconds_start": 0, "seconds_total": 1},),
        guidance_scales=(3.0,),
    )
    run = change(
        diffusion_run,
        output=str(folder),
        max_steps=10,
        gradient_clip=0.5,
        checkpoint=CheckpointConfig(every=5),
    )
    whole = run_training(change(sized(run, 4, demo=demo), name="whole"))
    config = change(sized(run, 2, demo=demo), name="split", devices=2, strategy="fsdp")
    run_two(change(config, max_steps=5), folder)
    return Runs(whole, run_two(config, folder), config)


# The second one is from after the resume.
@pytest.mark.parametrize("step", [5, 10])
def test_a_split_model_trains_as_a_whole_one(runs: Runs, step: int) -> None:
    """Weights, their average, the optimiser, and counters are those of one process."""
    split, whole = (path.with_name(f"{step:08d}.ckpt") for path in (runs.split, runs.whole))
    assert_same_weights(split, whole)
    assert_same_optimiser(split, whole)
    found, expected = (torch.load(path, weights_only=True) for path in (split, whole))
    assert found.keys() == expected.keys()
    for key in ("global_step", "epoch", "timesteps_drawn", "lr_schedulers"):
        assert found[key] == expected[key], key


def test_the_gradient_norm_of_a_split_model_is_that_of_the_whole(runs: Runs) -> None:
    def norms(last: Path) -> list[float]:
        logs = sorted((last.parent.parent / "logs").glob("metrics.csv"))
        rows = [row for log in logs for row in csv.DictReader(log.read_text().splitlines())]
        return [float(row["train/gradient_norm"]) for row in rows if row["train/gradient_norm"]]

    assert len(norms(runs.whole)) == 10
    assert max(norms(runs.whole)) > 0.5  # the gradients were clipped
    assert norms(runs.split) == pytest.approx(norms(runs.whole), rel=1e-4)


def test_a_split_model_is_loaded_and_heard_whole(runs: Runs) -> None:
    sounds = []
    for last in (runs.split, runs.whole):
        model = load(last, device="cpu")
        assert isinstance(model, StableAudio)
        sounds.append(model.generate("deep drum", duration=0.5, steps=2, seed=0, progress=False))
    torch.testing.assert_close(sounds[0].samples, sounds[1].samples, **CLOSE)
    demos = [last.parent.parent / "demos" / "step_00000010" for last in (runs.split, runs.whole)]
    [split], [whole] = ([read_audio(path) for path in d.glob("*.wav")] for d in demos)
    # Files of 16 bits: one step of them.
    torch.testing.assert_close(split.samples, whole.samples, rtol=0, atol=2**-14)
    assert float(split.samples.abs().max()) > 1e-3


def test_one_process_goes_on_from_a_split_checkpoint(runs: Runs, change: Change) -> None:
    config = change(sized(runs.config, 4), name="joined", devices=1, strategy="auto")
    joined = run_training(config, resume=str(runs.split.with_name("00000005.ckpt")))
    assert_same_weights(joined, runs.whole)
    assert_same_optimiser(joined, runs.whole)


def test_split_processes_go_on_from_a_checkpoint_of_one(
    runs: Runs, change: Change, tmp_path: Path
) -> None:
    start = str(runs.whole.with_name("00000005.ckpt"))
    parted = run_two(change(runs.config, name="parted"), tmp_path, "--resume", start)
    assert_same_weights(parted, runs.whole)
    assert_same_optimiser(parted, runs.whole)


def test_each_process_holds_half_and_both_leave_out_the_same_step(
    diffusion_run: DiffusionModelConfig, change: Change, tmp_path: Path
) -> None:
    """With a trained text encoder and in bfloat16; one process' gradient breaks once."""
    text, *numbers = diffusion_run.conditioning.conditioners
    text = msgspec.structs.replace(text, trainable=True)
    conditioning = msgspec.structs.replace(
        diffusion_run.conditioning, conditioners=(text, *numbers)
    )
    run = msgspec.structs.replace(diffusion_run, conditioning=conditioning)
    config = change(
        run,
        output=str(tmp_path),
        name="halves",
        devices=2,
        strategy="fsdp",
        precision="bf16-mixed",
        max_steps=3,
    )
    torchrun("tests/training/sharded_run.py", written(config, tmp_path), str(tmp_path))
    shares = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for part in ("transformer", "conditioner", "average", "optimiser"):
        assert shares[0][part] + shares[1][part] == pytest.approx(1), part
        assert shares[0][part] == pytest.approx(0.5, abs=0.01), part
    folder = tmp_path / "halves" / "checkpoints"
    first, second, third = (state(folder / f"0000000{step}.ckpt") for step in (1, 2, 3))
    trained = [key for key in first if key.startswith(("model.transformer", "model.conditioner"))]
    assert all(torch.equal(first[key], second[key]) for key in trained)
    assert all(third[key].isfinite().all() for key in third)
    assert len([key for key in trained if not torch.equal(second[key], third[key])]) > 30


def test_a_signal_to_one_process_saves_the_whole_of_a_split_model(
    diffusion_run: DiffusionModelConfig, change: Change, tmp_path: Path
) -> None:
    config = change(
        diffusion_run,
        output=str(tmp_path),
        name="told",
        devices=2,
        strategy="fsdp",
        max_steps=10**6,
        checkpoint=CheckpointConfig(every=1, keep=1),
    )
    last = tmp_path / "told" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(
        [sys.executable, "scripts/train.py", "--config", written(config, tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not last.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    step = torch.load(last, weights_only=True)["global_step"]
    assert f"stopped by SIGUSR1 at step {step}; run the same command again" in output
    assert f"stopped by a signal to another process at step {step}" in output
    assert isinstance(load(last, device="cpu"), StableAudio)


def test_adapters_of_a_split_model(
    diffusion_run: DiffusionModelConfig, change: Change, tiny_model_folder: Path, tmp_path: Path
) -> None:
    parts = ("self_attention", "cross_attention", "feedforward")
    settings = {
        "lora": LoraConfig(rank=3, alpha=6, targets=parts),
        "initialize": str(tiny_model_folder),
        "autoencoder": None,
    }
    run = change(diffusion_run, output=str(tmp_path), max_steps=3, accumulate=2)
    whole = run_training(change(sized(run, 4, **settings), name="whole"))
    config = change(sized(run, 2, **settings), name="split", devices=2, strategy="fsdp")
    split = run_two(config, tmp_path)
    assert_same_weights(split, whole)
    assert_same_optimiser(split, whole)


def test_torchrun_starts_both_processes(recordings: Path, tmp_path: Path) -> None:
    output = torchrun(
        "scripts/train.py",
        "--config",
        "configs/tiny/autoencoder.json",
        f"data.path={recordings}",
        "training.batch_size=1",
        "training.crop_samples=4096",
        "training.trainer.accelerator=cpu",
        "training.trainer.devices=2",
        "training.trainer.strategy=ddp",
        "training.trainer.compile=false",
        "training.trainer.max_steps=2",
        "training.trainer.checkpoint.every=1",
        f"training.trainer.output={tmp_path}",
    )
    assert "training on the CPU, 2 processes, " in output
    folder = tmp_path / "tiny-autoencoder" / "checkpoints"
    first, second = (state(folder / f"0000000{step}.ckpt") for step in (1, 2))
    assert any(not torch.equal(second[key], first[key]) for key in first)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 2


def test_discriminators_train_on_two_processes(
    adversarial_run: AutoencoderModelConfig,
    change: Callable[..., AutoencoderModelConfig],
    tmp_path: Path,
) -> None:
    config = change(
        adversarial_run, output=str(tmp_path), name="two", devices=2, strategy="ddp", log_every=1
    )
    last = run_two(config, tmp_path)
    steps = [state(last.with_name(f"0000000{n}.ckpt")) for n in (1, 2, 3)]
    for before, after, side in ((0, 1, "discriminator."), (1, 2, "model.")):
        keys = [key for key in steps[0] if key.startswith(side)]
        assert any(not torch.equal(steps[before][key], steps[after][key]) for key in keys)
    assert all(value.isfinite().all() for value in state(last).values())

"""Every shipped training configuration as it stands, of smaller size alone, for dozens of steps.

Compiled where it compiles, in its precision, with its learning rates, losses and averages: the
command that a user runs. The distance on recordings that are not trained on has to fall.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from msgspec.structs import replace

from stable_audio_open.builders.data import autoencoder_data, diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import autoencoder_task, diffusion_task, new_autoencoder
from stable_audio_open.cli.main import main
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.pretrained import load
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.learnt import LearntBatch, prepare_conditions
from tests.needs import BUGFIX_RELEASE, needs_compiler
from tests.shipped_configs import ROOT, SHIPPED, overrides

pytestmark = pytest.mark.slow

RATE = 44100


def test_every_shipped_configuration_is_run() -> None:
    paths = {
        path.relative_to(ROOT / "configs").with_suffix("") for path in ROOT.glob("configs/*/*.json")
    }
    assert {str(path) for path in paths if path.parent.name != "curation"} == set(SHIPPED)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, text_encoder_folder: Path) -> Path:
    """Decaying tones in stereo where the configurations look for them; every fifth is held out."""
    folder = tmp_path_factory.mktemp("workplace")
    data, sounds = folder / "data", folder / "data" / "recordings"
    sounds.mkdir(parents=True)
    random = np.random.default_rng(0)
    time = np.arange(RATE // 2)[:, None] / RATE
    lines = []
    for index in range(20):
        hertz = 80 * 2 ** (index / 4) * np.array([1.0, 1.01])
        decay = np.exp(-time * (2 + index % 5))
        samples = 0.5 * decay * np.sin(2 * np.pi * hertz * time)
        samples += 0.02 * decay * random.standard_normal(samples.shape)
        soundfile.write(sounds / f"{index:02d}.flac", samples, RATE)
        word = ("deep", "soft", "bright", "warm")[index % 4]
        lines.append(json.dumps({"file": f"{index:02d}.flac", "caption": f"{word} drum"}))
    held_out = lines[2::5]
    (sounds / "held_out.jsonl").write_text("\n".join(held_out) + "\n")
    trained_on = [line for line in lines if line not in held_out]
    for name in ("manifest.jsonl", "train.jsonl"):
        (sounds / name).write_text("\n".join(trained_on) + "\n")
    for name in ("bundled", "sonic_pi", "loops", "one_shots"):
        (data / name).symlink_to(sounds)
    (data / "tiny_text_encoder").symlink_to(text_encoder_folder)
    return folder


def held_out_distance(config: Any, model: Any) -> float:
    """On all held-out recordings: of spectra, or the loss at the same noise and timesteps."""
    run: Any = training_run(replace(config, data=replace(config.data, validation="held_out.jsonl")))
    training = replace(config.training, ema=None)
    if isinstance(config, AutoencoderModelConfig):
        task: Any = autoencoder_task(config, replace(training, adversarial=None), model)
        batches: Any = autoencoder_data(run)
    else:
        task = diffusion_task(config, replace(training, lora=None), model)
        batches = diffusion_data(run, model.autoencoder)
    model.eval()
    task.on_validation_epoch_start()
    with torch.no_grad():
        for index, batch in enumerate(batches.val_dataloader()):
            task.validation_step(batch, index)
    means = task.validation_means.take()
    if isinstance(config, AutoencoderModelConfig):
        return float(means["validation/loss/mid_side"] + means["validation/loss/left_right"])
    return float(means["validation/loss"])


def distance_to_the_teacher(config: Any, model: Any) -> float:
    """On all held-out recordings: from one step of the model to the end of the teacher's flow."""
    run: Any = training_run(replace(config, data=replace(config.data, validation="held_out.jsonl")))
    task: Any = diffusion_task(
        config, replace(config.training, ema=None), initial_model(config, config.training)
    )
    task.model.transformer.load_state_dict(model.transformer.state_dict())
    losses = []
    for index, batch in enumerate(diffusion_data(run, model.autoencoder).val_dataloader()):
        items = len(batch["latents"])
        random = BatchRandomness(seed=0, step=0, batch=index, items=items)
        with torch.no_grad():
            t = 0.2 + 0.7 * random.uniform()
            prepared = prepare_conditions(model.conditioner, batch)
            loss = task.warm_up_loss(LearntBatch(batch["latents"], prepared, t, random))
        losses.append(items * float(loss))
    return sum(losses)


def distance(config: Any, model: Any) -> float:
    if getattr(config.training, "adversarial", None) and not isinstance(
        config, AutoencoderModelConfig
    ):
        return distance_to_the_teacher(config, model)
    return held_out_distance(config, model)


@needs_compiler
@pytest.mark.parametrize("name", SHIPPED)
def test_the_distance_falls(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    path = ROOT / "configs" / f"{name}.json"
    config: Any = read_config(path, overrides(name))
    if isinstance(config, AutoencoderModelConfig):
        model: Any = new_autoencoder(config, config.training)
    else:
        model = initial_model(config, config.training)
    before = distance(config, model)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/train.py"), "--config", str(path), *overrides(name)],
        env=os.environ | BUGFIX_RELEASE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    last = workplace / "runs" / SHIPPED[name] / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == config.training.trainer.max_steps
    # By more than rounding.
    assert distance(config, trained(last, config)) < (1 - 1e-4) * before
    if (
        name == "stable_audio_open_1_0/diffusion"
    ):  # where configs/finetune expects the published one
        assert main(["export", str(last), "--output", "stable-audio-open-1.0"]) == 0


def trained(last: Path, config: Any) -> Any:
    if getattr(config.training, "lora", None) is None:
        return load(last, device="cpu", use_ema=False)
    assert main(["export", str(last), "--to", "lora", "--output", "adapter"]) == 0
    return load("stable-audio-open-1.0", device="cpu", lora=[("adapter", 1.0)])

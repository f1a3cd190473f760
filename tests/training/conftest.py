"""Synthesised recordings, and runs that are small enough to take a second."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.trainer import CheckpointConfig, TrainerConfig
from stable_audio_open.config.training import (
    AdversarialConfig,
    AutoencoderTrainingConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    ReconstructionConfig,
)

RATE = 16000
WORDS = ("deep", "soft", "bright", "long", "warm", "bass")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tones in noise, of 0.3 to 0.8 s, half of them mono, and their manifest."""
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    lines = []
    for index, word in enumerate(WORDS):
        time = np.arange(round((0.3 + index / 10) * RATE)) / RATE
        tone = 0.3 * np.sin(2 * math.pi * 110 * (index + 1) * time)[:, None]
        channels = 1 + index % 2
        samples = tone + 0.05 * random.standard_normal((len(time), channels))
        soundfile.write(folder / f"{word}.wav", samples, RATE, subtype="FLOAT")
        lines.append(json.dumps({"file": f"{word}.wav", "caption": f"{word} drum"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def trainer(output: Path) -> TrainerConfig:
    """Four steps, each with a checkpoint and a line in the log."""
    return TrainerConfig(
        max_steps=4,
        accelerator="cpu",
        devices=1,
        log_every=1,
        checkpoint=CheckpointConfig(every=1, keep=4),
        output=str(output),
        name="whole",
    )


# One folder of runs for each file of tests: a name that stands in two files is two runs.
@pytest.fixture(scope="module")
def autoencoder_run(
    tmp_path_factory: pytest.TempPathFactory,
    recordings: Path,
    tiny_autoencoder_config: AutoencoderModelConfig,
) -> AutoencoderModelConfig:
    """Batches of 4 crops, 3 batches an epoch."""
    return msgspec.structs.replace(
        tiny_autoencoder_config,
        data=FolderConfig(path=str(recordings), crops_per_recording=2),
        training=AutoencoderTrainingConfig(
            trainer=trainer(tmp_path_factory.mktemp("autoencoder_runs")),
            optimizer=AdamWConfig(lr=2e-3, betas=(0.8, 0.99), weight_decay=1e-3),
            schedule=InverseLRConfig(inv_gamma=200, power=0.5, warmup=0.5),
            batch_size=4,
            crop_samples=4096,
            loss=ReconstructionConfig(fft_sizes=(512, 128, 32)),
            ema=EmaConfig(decay=0.6, power=0.75),
            initial_scale_bias=-4.0,
            seed=5,
        ),
    )


@pytest.fixture(scope="module")
def adversarial_run(autoencoder_run: AutoencoderModelConfig) -> AutoencoderModelConfig:
    """The same with two small discriminators."""
    adversarial = AdversarialConfig(
        optimizer=AdamWConfig(lr=2e-3, betas=(0.8, 0.99), weight_decay=1e-3),
        schedule=InverseLRConfig(inv_gamma=200, power=0.5, warmup=0.5),
        fft_sizes=(512, 128),
        filters=4,
    )
    assert autoencoder_run.training is not None
    training = msgspec.structs.replace(autoencoder_run.training, adversarial=adversarial)
    return msgspec.structs.replace(autoencoder_run, training=training)


@pytest.fixture(scope="session")
def text_encoder_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: TextEncoder
) -> Path:
    """The small text encoder in the layout of transformers."""
    folder = tmp_path_factory.mktemp("text_encoder")
    parts: tuple[Any, ...] = (tiny_text_encoder.tokenizer, tiny_text_encoder.encoder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def latent_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the runs of all files encode once."""
    return tmp_path_factory.mktemp("latents")


@pytest.fixture(scope="module")
def diffusion_run(
    tmp_path_factory: pytest.TempPathFactory,
    latent_cache: Path,
    recordings: Path,
    tiny_model_config: DiffusionModelConfig,
    tiny_autoencoder_folder: Path,
    text_encoder_folder: Path,
) -> DiffusionModelConfig:
    """Batches of 2 windows, 3 batches an epoch."""
    text, *numbers = tiny_model_config.conditioning.conditioners
    text = msgspec.structs.replace(text, model=str(text_encoder_folder))
    conditioning = msgspec.structs.replace(
        tiny_model_config.conditioning, conditioners=(text, *numbers)
    )
    return msgspec.structs.replace(
        tiny_model_config,
        # The untrained autoencoder's latents are that small.
        autoencoder=msgspec.structs.replace(tiny_model_config.autoencoder, scale=0.2),
        conditioning=conditioning,
        data=FolderConfig(path=str(recordings), latent_cache=str(latent_cache)),
        training=DiffusionTrainingConfig(
            trainer=trainer(tmp_path_factory.mktemp("diffusion_runs")),
            optimizer=AdamWConfig(lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
            schedule=InverseLRConfig(inv_gamma=1000, power=0.5, warmup=0.5),
            batch_size=2,
            autoencoder=str(tiny_autoencoder_folder),
            ema=EmaConfig(decay=0.6, power=0.75),
            seed=5,
        ),
    )


@pytest.fixture(scope="session")
def change() -> Callable[..., Any]:
    """Return a copy of a configuration with other values in its trainer."""

    def change(config: ModelConfig, **trainer: object) -> ModelConfig:
        training: Any = config.training
        new = msgspec.structs.replace(training.trainer, **trainer)
        return msgspec.structs.replace(
            config, training=msgspec.structs.replace(training, trainer=new)
        )

    return change

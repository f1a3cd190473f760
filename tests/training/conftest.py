"""Synthesised recordings, and runs that are small enough to take a second."""

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from stable_audio_open.build.model import TextEncoder
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.training import (
    AdamWConfig,
    AutoencoderTrainingConfig,
    CheckpointConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    InverseLRConfig,
    ReconstructionConfig,
    TrainerConfig,
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


def _trainer(output: Path, **changes: object) -> TrainerConfig:
    trainer = TrainerConfig(
        max_steps=4,
        accelerator="cpu",
        devices=1,
        log_every=1,
        checkpoint=CheckpointConfig(every=2, keep=2),
        output=str(output),
    )
    return msgspec.structs.replace(trainer, **changes)


@pytest.fixture
def autoencoder_run(
    tmp_path: Path, recordings: Path, tiny_autoencoder_config: AutoencoderModelConfig
) -> AutoencoderModelConfig:
    """Batches of 4 crops, 3 batches an epoch."""
    return msgspec.structs.replace(
        tiny_autoencoder_config,
        data=FolderConfig(path=str(recordings), crops_per_recording=2),
        training=AutoencoderTrainingConfig(
            trainer=_trainer(tmp_path / "runs"),
            optimizer=AdamWConfig(lr=2e-3, betas=(0.8, 0.99), weight_decay=1e-3),
            schedule=InverseLRConfig(inv_gamma=200, power=0.5, warmup=0.5),
            batch_size=4,
            crop_samples=4096,
            loss=ReconstructionConfig(fft_sizes=(512, 128, 32)),
            ema=EmaConfig(decay=0.9, power=0.75),
            initial_scale_bias=-4.0,
            seed=5,
        ),
    )


@pytest.fixture(scope="session")
def text_encoder_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: TextEncoder
) -> Path:
    """The small text encoder in the layout of transformers."""
    folder = tmp_path_factory.mktemp("text_encoder")
    tiny_text_encoder.tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    tiny_text_encoder.encoder.save_pretrained(folder)  # type: ignore[operator]
    return folder


@pytest.fixture
def diffusion_run(
    tmp_path: Path,
    recordings: Path,
    tiny_model_config: DiffusionModelConfig,
    tiny_autoencoder_folder: Path,
    text_encoder_folder: Path,
) -> DiffusionModelConfig:
    """Batches of 2 windows, 3 batches an epoch."""
    config = tiny_model_config
    text, *numbers = config.conditioning.conditioners
    text = msgspec.structs.replace(text, model=str(text_encoder_folder))
    return msgspec.structs.replace(
        config,
        conditioning=msgspec.structs.replace(config.conditioning, conditioners=(text, *numbers)),
        data=FolderConfig(path=str(recordings), latent_cache=str(tmp_path / "latents")),
        training=DiffusionTrainingConfig(
            trainer=_trainer(tmp_path / "runs"),
            optimizer=AdamWConfig(lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
            schedule=InverseLRConfig(inv_gamma=1000, power=0.5, warmup=0.5),
            batch_size=2,
            autoencoder=str(tiny_autoencoder_folder),
            ema=EmaConfig(decay=0.9, power=0.75),
            seed=5,
        ),
    )

"""Configurations of which no value is a default or that of a neighbour."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from stable_audio_open.config.autoencoder import AutoencoderConfig, OobleckConfig, VaeConfig
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.evaluation import (
    GenerationEvaluationConfig,
    ReconstructionEvaluationConfig,
)
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.trainer import CheckpointConfig, EarlyStoppingConfig, TrainerConfig
from stable_audio_open.config.training import (
    AdversarialConfig,
    AutoencoderTrainingConfig,
    DemoConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    LoraConfig,
    ReconstructionConfig,
)
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.prompts import PromptSettings

RATE = 8000


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings; the manifests list other numbers of them."""
    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    lines = []
    for index in range(5):
        file = f"{index}.wav"
        soundfile.write(folder / file, 0.1 * random.standard_normal((4000 + index, 2)), RATE)
        lines.append(json.dumps({"file": file, "caption": f"sound {index}"}) + "\n")
    for name, own in (("train", lines[:3]), ("held_out", lines[3:]), ("judged", lines[1:])):
        (folder / f"{name}.jsonl").write_text("".join(own))
    return folder


@pytest.fixture
def autoencoder() -> AutoencoderConfig:
    return AutoencoderConfig(
        encoder=OobleckConfig(channels=3, multipliers=(2, 5), strides=(4, 2)),
        decoder=OobleckConfig(channels=6, multipliers=(1, 4), strides=(2, 4), final_tanh=True),
        bottleneck=VaeConfig(),
        latent_channels=7,
        scale=1.75,
        iterate_batch=True,
    )


@pytest.fixture
def trainer(tmp_path: Path) -> TrainerConfig:
    return TrainerConfig(
        max_steps=23,
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed",
        accumulate=3,
        gradient_clip=0.625,
        most_skipped=17,
        log_every=2,
        validate_every=11,
        logger="tensorboard",
        checkpoint=CheckpointConfig(every=13, keep=5, best="evaluation/stft"),
        early_stopping=EarlyStoppingConfig(
            metric="validation/loss", patience=19, least_change=0.375
        ),
        output=str(tmp_path / "outputs"),
        name="unusual",
    )


@pytest.fixture
def autoencoder_config(
    autoencoder: AutoencoderConfig, trainer: TrainerConfig, sounds: Path
) -> AutoencoderModelConfig:
    return AutoencoderModelConfig(
        name="codec",
        sample_rate=RATE,
        audio_channels=2,
        autoencoder=autoencoder,
        data=FolderConfig(
            path=str(sounds),
            manifest="train.jsonl",
            validation="held_out.jsonl",
            crops_per_recording=6,
            most_unusable=0.35,
            polarity_flip=0.65,
            loudness=-21.5,
            workers=2,
        ),
        training=AutoencoderTrainingConfig(
            # Two optimisers take turns, a batch each.
            trainer=replace(trainer, accumulate=1),
            optimizer=AdamWConfig(lr=3e-3, betas=(0.7, 0.95), weight_decay=0.02, offload=True),
            schedule=InverseLRConfig(inv_gamma=40, power=0.25, warmup=0.75),
            batch_size=9,
            crop_samples=512,
            loss=ReconstructionConfig(
                fft_sizes=(256, 64),
                a_weighting=False,
                mid_side=1.5,
                left_right=0.75,
                mel=0.3,
                waveform=0.2,
                kl=0.05,
                reference="target",
                convergence="batch",
                skip_silent_side=False,
            ),
            adversarial=AdversarialConfig(
                optimizer=AdamWConfig(lr=4e-3, betas=(0.6, 0.9), weight_decay=0.03),
                schedule=InverseLRConfig(inv_gamma=50, power=0.35, warmup=0.65),
                fft_sizes=(128, 32),
                filters=5,
                adversarial=0.45,
                feature_matching=3.5,
                first_step=4,
            ),
            ema=EmaConfig(decay=0.55, power=0.65, offload=True),
            initial_scale_bias=-2.5,
            evaluation=ReconstructionEvaluationConfig(
                path=str(sounds),
                manifest="judged.jsonl",
                count=2,
                seconds=0.25,
                every=7,
                at_start=True,
            ),
            seed=31,
        ),
    )


@pytest.fixture
def diffusion_config(
    autoencoder: AutoencoderConfig, trainer: TrainerConfig, sounds: Path, tmp_path: Path
) -> DiffusionModelConfig:
    return DiffusionModelConfig(
        name="model",
        sample_rate=RATE,
        audio_channels=2,
        window_samples=1024,
        autoencoder=autoencoder,
        conditioning=ConditioningConfig(
            width=12,
            conditioners=(
                T5Config(id="prompt", model="nowhere", max_length=6, trainable=True),
                NumberConfig(id="seconds_start", min=1, max=90),
                NumberConfig(id="seconds_total", min=2, max=80),
            ),
            cross_attention=("seconds_total", "prompt"),
            global_=("seconds_total", "seconds_start"),
        ),
        transformer=TransformerConfig(
            latent_channels=7, width=48, depth=3, heads=4, context_width=12, global_width=24
        ),
        data=FolderConfig(
            path=str(sounds),
            manifest="train.jsonl",
            validation="held_out.jsonl",
            crops_per_recording=2,
            trailing_silence=0.5,
            most_unusable=0.45,
            caption_share=0.15,
            prompts=PromptSettings(named_share=0.85),
            whole_seconds=True,
            workers=3,
            latent_cache=str(tmp_path / "cache"),
        ),
        training=DiffusionTrainingConfig(
            trainer=trainer,
            optimizer=AdamWConfig(lr=5e-3, betas=(0.65, 0.85), weight_decay=0.04),
            schedule=InverseLRConfig(inv_gamma=60, power=0.45, warmup=0.55),
            batch_size=8,
            initialize="given",
            latents="means",
            lora=LoraConfig(
                rank=3,
                alpha=7.5,
                targets=("feedforward",),
                dropout=0.35,
                use_rslora=True,
                use_dora=True,
            ),
            guidance_dropout=0.325,
            ema=EmaConfig(decay=0.45, power=0.6),
            activation_checkpointing="selective",
            log_loss_by_timestep=True,
            demo=DemoConfig(
                every=29,
                steps=12,
                count=3,
                conditions=(
                    {"prompt": "kick", "seconds_start": 0.5, "seconds_total": 1.5},
                    {"prompt": "bell", "seconds_start": 0.25, "seconds_total": 1.25},
                ),
                guidance_scales=(1.5, 4.5),
            ),
            evaluation=GenerationEvaluationConfig(
                path=str(sounds),
                manifest="judged.jsonl",
                count=3,
                seconds=0.0625,
                every=10,
                frechet="log-mel",
                kad="mean-log-mel",
                listen_on_cpu=True,
                steps=14,
                guidance_scale=2.5,
                seed=37,
                keep_sounds=True,
            ),
            seed=41,
        ),
    )

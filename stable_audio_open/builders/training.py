"""Training runs from their configuration."""

import copy
import math
from typing import Any

import torch
from msgspec.structs import asdict

from stable_audio_open.adversarial.discriminator import MultiResolutionDiscriminator
from stable_audio_open.adversarial.latent_discriminator import LatentDiscriminator
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.run import DiffusionRun, TrainingRun
from stable_audio_open.checkpoint.bundled import checkpoint_path
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.native import read_discriminator
from stable_audio_open.checkpoint.weights.strict import load_autoencoder_strictly, load_strictly
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.post_training import PostTrainingConfig
from stable_audio_open.config.read import encode_config, model_part
from stable_audio_open.config.training import (
    AdversarialConfig,
    AutoencoderTrainingConfig,
    DiffusionTrainingConfig,
    EmaConfig,
)
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.losses.stereo_spectral import StereoSpectralLoss
from stable_audio_open.training.callbacks.demos import Demo, DemoWriter
from stable_audio_open.training.ema import EmaSchedule
from stable_audio_open.training.inpainting import InpaintingMasks
from stable_audio_open.training.lora import add_adapter
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.post_training.settings import NoiseLevels, WarmUp
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.tasks.adversarial import AdversarialTraining, AdversarialWeights
from stable_audio_open.training.tasks.autoencoder import (
    AutoencoderLossWeights,
    AutoencoderTraining,
    freeze_encoder,
    narrow_posterior,
)
from stable_audio_open.training.tasks.diffusion import DiffusionTraining
from stable_audio_open.training.trainer import TrainerSettings

TEACHERS_SHARE = 0.75
"""Of its blocks, that a discriminator of latents starts from."""


def new_autoencoder(
    config: AutoencoderModelConfig, training: AutoencoderTrainingConfig
) -> AudioAutoencoder:
    """Return the autoencoder that a training starts from: given, or new by the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model = build_autoencoder(config)
    if training.initialize is not None:
        load_autoencoder_strictly(model, read_checkpoint(checkpoint_path(training.initialize)))
    elif training.initial_scale_bias is not None:
        narrow_posterior(model, scale_bias=training.initial_scale_bias)
    return model


def spectral_loss(
    config: AutoencoderModelConfig, training: AutoencoderTrainingConfig
) -> StereoSpectralLoss:
    """Return the distances of decoded signals from their originals."""
    loss = training.loss
    return StereoSpectralLoss(
        sample_rate=config.sample_rate,
        fft_sizes=loss.fft_sizes,
        a_weighting=loss.a_weighting,
        reference=loss.reference,
        convergence=loss.convergence,
        skip_silent_side=loss.skip_silent_side,
        mel=loss.mel > 0,
    )


def autoencoder_task(
    config: AutoencoderModelConfig,
    training: AutoencoderTrainingConfig,
    model: AudioAutoencoder,
    *,
    distances: StereoSpectralLoss | None = None,
) -> AutoencoderTraining:
    """Return the Lightning module that trains an autoencoder, against discriminators or not.

    Args:
        config: The whole model's.
        training: Its `training`.
        model: What is trained.
        distances: What `spectral_loss` returns; made here where None.
    """
    if training.train == "decoder":
        freeze_encoder(model)
    loss, adversarial = training.loss, training.adversarial
    common: dict[str, Any] = {
        "model": model,
        "loss": distances or spectral_loss(config, training),
        "weights": AutoencoderLossWeights(
            mid_side=loss.mid_side,
            left_right=loss.left_right,
            mel=loss.mel,
            waveform=loss.waveform,
            kl=loss.kl,
        ),
        "optimisation": _optimisation(training.optimizer, training.schedule),
        "ema": _ema(training.ema),
        "offload_ema": training.ema is not None and training.ema.offload,
        "header": _header(config),
        "seed": training.seed,
    }
    if adversarial is None:
        return AutoencoderTraining(**common)
    return AdversarialTraining(
        **common,
        discriminator=_discriminator(config, training, adversarial),
        adversarial_weights=AdversarialWeights(
            adversarial=adversarial.adversarial, feature_matching=adversarial.feature_matching
        ),
        discriminator_optimisation=_optimisation(adversarial.optimizer, adversarial.schedule),
        first_step=adversarial.first_step,
        gradient_clip=training.trainer.gradient_clip,
    )


def _discriminator(
    config: AutoencoderModelConfig,
    training: AutoencoderTrainingConfig,
    adversarial: AdversarialConfig,
) -> MultiResolutionDiscriminator:
    """Return new discriminators, or those of the checkpoint that the training starts from."""
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        discriminator = MultiResolutionDiscriminator(
            audio_channels=config.audio_channels,
            fft_sizes=adversarial.fft_sizes,
            filters=adversarial.filters,
        )
    if training.initialize is not None:
        path = checkpoint_path(training.initialize)
        tensors = read_discriminator(path)
        if tensors:
            load_strictly(discriminator, tensors, source=str(path))
    return discriminator


def diffusion_task(
    config: DiffusionModelConfig, training: DiffusionTrainingConfig, model: LatentDiffusion
) -> DiffusionTraining:
    """Return the Lightning module that trains a diffusion transformer."""
    model.transformer.activation_checkpointing = training.activation_checkpointing
    header = _header(config)
    if training.lora is not None:
        model.requires_grad_(False)
        header["lora"] = add_adapter(
            model.transformer,
            rank=training.lora.rank,
            alpha=training.lora.alpha,
            targets=training.lora.targets,
            dropout=training.lora.dropout,
            use_rslora=training.lora.use_rslora,
            use_dora=training.lora.use_dora,
            seed=training.seed,
        )
    common: dict[str, Any] = {
        "model": model,
        "optimisation": _optimisation(training.optimizer, training.schedule),
        "draws": training.latents == "draws",
        "timesteps": training.timesteps,
        "guidance_dropout": training.guidance_dropout,
        "ema": _ema(training.ema),
        "offload_ema": training.ema is not None and training.ema.offload,
        "log_loss_by_timestep": training.log_loss_by_timestep,
        "inpainting": (
            None if training.inpainting is None else InpaintingMasks(**asdict(training.inpainting))
        ),
        "header": header,
        "seed": training.seed,
    }
    if training.adversarial is None:
        return DiffusionTraining(**common)
    return _post_training(training, training.adversarial, model.transformer, common)


def _post_training(
    training: DiffusionTrainingConfig,
    adversarial: PostTrainingConfig,
    teacher: DiffusionTransformer,
    common: dict[str, Any],
) -> AdversarialPostTraining:
    """Return the Lightning module that trains a student; the teacher is what it starts as."""
    blocks = adversarial.blocks or math.ceil(len(teacher.blocks) * TEACHERS_SHARE)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        discriminator = LatentDiscriminator(teacher, blocks=blocks, channels=adversarial.channels)
    warm_up = adversarial.warm_up
    return AdversarialPostTraining(
        **common,
        discriminator=discriminator,
        discriminator_optimisation=_optimisation(adversarial.optimizer, adversarial.schedule),
        teacher=None if warm_up is None else copy.deepcopy(teacher),
        warm_up=WarmUp(steps=0, teacher_steps=1, guidance_scale=1.0)
        if warm_up is None
        else WarmUp(**asdict(warm_up)),
        noise_levels=NoiseLevels(mean=adversarial.noise_mean, std=adversarial.noise_std),
        contrastive=adversarial.contrastive,
        gradient_clip=None if training.trainer is None else training.trainer.gradient_clip,
    )


def demo_writer(run: TrainingRun) -> DemoWriter | None:
    """Return what writes demos, if any are wanted."""
    demo = run.training.demo if isinstance(run, DiffusionRun) else None
    if demo is None:
        return None
    return DemoWriter(
        demos=Demo.take(demo.conditions, demo.count),
        guidance_scales=demo.guidance_scales,
        every=demo.every,
        steps=demo.steps,
        folder=run.folder / "demos",
        seed=run.training.seed,
    )


def trainer_settings(run: TrainingRun) -> TrainerSettings:
    """Return how long, where and how exactly a run trains, and what it writes."""
    trainer = run.trainer
    return TrainerSettings(
        folder=run.folder,
        logger=trainer.logger,
        log_every=trainer.log_every,
        checkpoint_every=trainer.checkpoint.every,
        checkpoints_kept=trainer.checkpoint.keep,
        best=trainer.checkpoint.best,
        max_steps=trainer.max_steps,
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        nodes=trainer.nodes,
        precision=trainer.precision,
        strategy=trainer.strategy,
        compiled=trainer.compile,
        accumulate=trainer.accumulate,
        gradient_clip=trainer.gradient_clip,
        most_skipped=trainer.most_skipped,
        validate_every=trainer.validate_every,
        item_seconds=run.item_seconds,
    )


def _optimisation(optimizer: AdamWConfig, schedule: InverseLRConfig) -> OptimizerSettings:
    return OptimizerSettings(
        lr=optimizer.lr,
        betas=optimizer.betas,
        weight_decay=optimizer.weight_decay,
        inv_gamma=schedule.inv_gamma,
        power=schedule.power,
        warmup=schedule.warmup,
        offload=optimizer.offload,
    )


def _ema(ema: EmaConfig | None) -> EmaSchedule | None:
    return None if ema is None else EmaSchedule(decay=ema.decay, power=ema.power)


def _header(config: ModelConfig) -> dict[str, Any]:
    return {"format": 1, "config": encode_config(model_part(config)).decode()}

"""The native configuration to stable-audio-tools' layout."""

import logging
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stable_audio_open.config.autoencoder import AutoencoderConfig
from stable_audio_open.config.conditioning import NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
    TimestepShiftConfig,
)
from stable_audio_open.config.stable_audio_tools import layout
from stable_audio_open.config.training import (
    DemoConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    InpaintingConfig,
)
from stable_audio_open.config.values.describe import found

logger = logging.getLogger(__name__)

_PUBLISHED_CROP = 65536


def to_stable_audio_tools(config: ModelConfig) -> dict[str, Any]:
    """Translate to the JSON value of a `model_config.json` or `vae_config.json`.

    What has no place there is left out, which is logged: the name, the recordings, what
    stable-audio-tools is told on its command line (trainer, batch size, checkpoints, seed), and
    the training of an autoencoder alone.

    Raises:
        ConfigError: For what the layout cannot express, with its JSON path.
    """
    file: layout.File
    if isinstance(config, AutoencoderModelConfig):
        file = _autoencoder_file(config)
    else:
        file = _diffusion_file(config)
    translated: dict[str, Any] = _whole_numbers(msgspec.to_builtins(file))
    return translated


def _diffusion_file(config: DiffusionModelConfig) -> layout.DiffusionFile:
    autoencoder, dit = config.autoencoder, config.transformer
    rotated = max(dit.width // dit.heads // 2, layout.LEAST_ROTATED)
    if dit.rotated_features != rotated:
        raise ConfigError(
            f"{config.name}: $.transformer.rotated: found {dit.rotated_features} of the "
            f"{dit.width // dit.heads} features of a head; allowed: {rotated} (stable-audio-tools "
            f"rotates half of a head, and at least {layout.LEAST_ROTATED})"
        )
    left_out = ["name", "data"]
    if config.training is not None:
        run = "trainer", "batch_size", "autoencoder", "initialize", "activation_checkpointing"
        left_out += [f"training.{name}" for name in (*run, "seed")]
        if config.training.inpainting not in (None, InpaintingConfig()):
            left_out.append("training.inpainting")
        for name in ("optimizer", "ema"):
            if getattr(getattr(config.training, name), "offload", False):
                left_out.append(f"training.{name}.offload")
    _log_left_out(left_out)
    kind = layout.DiffusionCondInpaintFile if dit.inpainting else layout.DiffusionCondFile
    return kind(
        sample_size=config.window_samples,
        sample_rate=config.sample_rate,
        audio_channels=config.audio_channels,
        model=layout.DiffusionCondModel(
            pretransform=layout.Pretransform(
                type="autoencoder",
                iterate_batch=autoencoder.iterate_batch,
                scale=UNSET if autoencoder.scale == 1 else autoencoder.scale,
                config=_autoencoder(autoencoder, audio_channels=config.audio_channels),
            ),
            conditioning=layout.ConditioningSettings(
                configs=tuple(_conditioner(each) for each in config.conditioning.conditioners),
                cond_dim=config.conditioning.width,
            ),
            diffusion=layout.Diffusion(
                type="dit",
                cross_attention_cond_ids=config.conditioning.cross_attention,
                global_cond_ids=config.conditioning.global_,
                diffusion_objective=UNSET if config.objective == "v" else config.objective,
                distribution_shift_options=_timestep_shift(config.timestep_shift),
                input_concat_ids=layout.INPAINTING_IDS if dit.inpainting else UNSET,
                config=layout.DitSettings(
                    io_channels=dit.latent_channels,
                    embed_dim=dit.width,
                    depth=dit.depth,
                    num_heads=dit.heads,
                    cond_token_dim=dit.context_width,
                    global_cond_dim=dit.global_width,
                    project_cond_tokens=dit.project_context,
                    transformer_type="continuous_transformer",
                    input_concat_dim=dit.latent_channels + 1 if dit.inpainting else UNSET,
                    attn_kwargs=(
                        UNSET
                        if dit.qk_norm == "none"
                        else layout.AttentionSettings(qk_norm=dit.qk_norm)
                    ),
                ),
            ),
            io_channels=dit.latent_channels,
        ),
        training=UNSET if config.training is None else _training(config.training, name=config.name),
    )


def _timestep_shift(
    config: TimestepShiftConfig | None,
) -> layout.DistributionShift | UnsetType:
    if config is None:
        return UNSET
    return layout.DistributionShift(**msgspec.structs.asdict(config))


def _autoencoder_file(config: AutoencoderModelConfig) -> layout.AutoencoderFile:
    if config.autoencoder.scale != 1:
        raise ConfigError(
            f"{config.name}: $.autoencoder.scale: {found(config.autoencoder.scale)}; allowed: 1 "
            "(stable-audio-tools scales the latents of a diffusion model only)"
        )
    _log_left_out(["name", "data", "training", "autoencoder.iterate_batch"])
    crop = _PUBLISHED_CROP if config.training is None else config.training.crop_samples
    return layout.AutoencoderFile(
        sample_size=crop,
        sample_rate=config.sample_rate,
        audio_channels=config.audio_channels,
        model=_autoencoder(config.autoencoder, audio_channels=config.audio_channels),
    )


def _autoencoder(config: AutoencoderConfig, *, audio_channels: int) -> layout.Autoencoder:
    return layout.Autoencoder(
        encoder=layout.Encoder(
            type="oobleck",
            config=layout.EncoderSettings(
                in_channels=audio_channels,
                channels=config.encoder.channels,
                c_mults=config.encoder.multipliers,
                strides=config.encoder.strides,
                latent_dim=2 * config.latent_channels,
                use_snake=True,
            ),
        ),
        decoder=layout.Decoder(
            type="oobleck",
            config=layout.DecoderSettings(
                out_channels=audio_channels,
                channels=config.decoder.channels,
                c_mults=config.decoder.multipliers,
                strides=config.decoder.strides,
                latent_dim=config.latent_channels,
                use_snake=True,
                final_tanh=config.decoder.final_tanh,
            ),
        ),
        bottleneck=layout.Bottleneck(type="vae"),
        latent_dim=config.latent_channels,
        downsampling_ratio=config.downsampling,
        io_channels=audio_channels,
    )


def _conditioner(
    config: T5Config | NumberConfig,
) -> layout.T5Conditioner | layout.NumberConditionerSettings:
    if isinstance(config, NumberConfig):
        limits = layout.NumberSettings(min_val=config.min, max_val=config.max)
        return layout.NumberConditionerSettings(id=config.id, config=limits)
    return layout.T5Conditioner(
        id=config.id,
        config=layout.T5Settings(
            t5_model_name=config.model,
            max_length=config.max_length,
            enable_grad=True if config.trainable else UNSET,
        ),
    )


def _training(config: DiffusionTrainingConfig, *, name: str) -> layout.DiffusionCondTraining:
    ema = config.ema
    if ema is not None and (ema.decay, ema.power) != (EmaConfig().decay, EmaConfig().power):
        raise ConfigError(
            f"{name}: $.training.ema: found decay {ema.decay:g} and power {ema.power:g}; "
            "allowed: null, or 0.9999 and 0.75 (stable-audio-tools knows no other)"
        )
    if config.timesteps == "uniform":
        raise ConfigError(
            f'{name}: $.training.timesteps: found "uniform"; allowed: "sobol" (which '
            'stable-audio-tools calls uniform) or "logit_normal"'
        )
    return layout.DiffusionCondTraining(
        use_ema=ema is not None,
        log_loss_info=config.log_loss_by_timestep,
        optimizer_configs=layout.OptimizerConfigs(
            diffusion=layout.OptimizerAndScheduler(
                optimizer=layout.Optimizer(
                    type="AdamW",
                    config=layout.AdamWSettings(
                        lr=config.optimizer.lr,
                        betas=config.optimizer.betas,
                        weight_decay=config.optimizer.weight_decay,
                    ),
                ),
                scheduler=layout.Scheduler(
                    type="InverseLR",
                    config=layout.InverseLRSettings(
                        inv_gamma=config.schedule.inv_gamma,
                        power=config.schedule.power,
                        warmup=config.schedule.warmup,
                    ),
                ),
            )
        ),
        cfg_dropout_prob=UNSET if config.guidance_dropout == 0.1 else config.guidance_dropout,
        timestep_sampler="logit_normal" if config.timesteps == "logit_normal" else UNSET,
        demo=UNSET if config.demo is None else _demo(config.demo),
    )


def _demo(config: DemoConfig) -> layout.DemoSettings:
    return layout.DemoSettings(
        demo_every=config.every,
        demo_steps=config.steps,
        num_demos=config.count,
        demo_cond=config.conditions,
        demo_cfg_scales=config.guidance_scales,
    )


def _whole_numbers(value: Any) -> Any:
    """Write 512.0 as 512 and tuples as lists, as the published file does."""
    if isinstance(value, dict):
        return {name: _whole_numbers(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _log_left_out(names: list[str]) -> None:
    logger.info("stable-audio-tools' layout has no place for: %s", ", ".join(names))

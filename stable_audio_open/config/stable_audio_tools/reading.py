"""stable-audio-tools' layout to the native configuration."""

import logging
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from stable_audio_open.config.autoencoder import AutoencoderConfig, OobleckConfig, VaeConfig
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
    TimestepShiftConfig,
)
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.stable_audio_tools import layout
from stable_audio_open.config.training import (
    DemoConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    InpaintingConfig,
)
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.config.values.check import check, type_info
from stable_audio_open.config.values.describe import found

logger = logging.getLogger(__name__)

Value = TypeVar("Value")
Rule = tuple[str, int | str | UnsetType, int | str, str]
"""Path, value found there, value that it must have, what that value is."""


def from_stable_audio_tools(
    obj: dict[str, Any], *, source: str, for_training: bool = True
) -> ModelConfig:
    """Translate the JSON value of a `model_config.json` or `vae_config.json`.

    The file says nothing about its name (the stem of `source` is taken) and about recordings,
    trainer and checkpoints (they stay unset). The training section of an autoencoder alone is
    not translated, which is logged.

    Args:
        obj: The value.
        source: The file, for messages.
        for_training: Refuse a training section that cannot be translated. A model that was trained
            in another way is the same model: without this it is left out, which is logged.

    Raises:
        ConfigError: For anything that the modules here do not support, with its JSON path.
    """
    check(obj, type_info(layout.File), source=source)
    file: layout.File = msgspec.convert(obj, layout.File)
    name = Path(source).stem or source
    if isinstance(file, layout.AutoencoderFile):
        return _autoencoder_file(file, name=name, source=source)
    config = _diffusion_file(file, name=name, source=source)
    if file.training is UNSET:
        return config
    try:
        return _with_training(config, file.training, source=source)
    except ConfigError as error:
        if for_training:
            raise
        logger.warning(
            "%s: how the model was trained is not translated; left out: $.training (%s)",
            source,
            str(error).removeprefix(f"{source}: "),
        )
        return config


def _with_training(
    config: DiffusionModelConfig, value: Any, *, source: str
) -> DiffusionModelConfig:
    check(value, type_info(layout.DiffusionCondTraining), source=source, path="$.training")
    file = msgspec.convert(value, layout.DiffusionCondTraining)
    try:
        training = _training(file)
        if config.transformer.inpainting:
            training = msgspec.structs.replace(training, inpainting=InpaintingConfig())
        return msgspec.structs.replace(config, training=training)
    except ValueError as error:
        raise ConfigError(f"{source}: $: {error}") from error


def _diffusion_file(file: layout.DiffusionFile, *, name: str, source: str) -> DiffusionModelConfig:
    model, conditioning = file.model, file.model.conditioning
    autoencoder = _autoencoder(
        model.pretransform.config,
        audio_channels=file.audio_channels,
        source=source,
        path="$.model.pretransform.config",
    )
    _check_rules(_diffusion_rules(model), source=source)
    inpainting = isinstance(file, layout.DiffusionCondInpaintFile)
    _check_concatenated(model.diffusion, inpainting=inpainting, source=source)
    if file.sample_size % autoencoder.downsampling:
        raise ConfigError(
            f"{source}: $.sample_size: {found(file.sample_size)}; "
            f"allowed: a multiple of {autoencoder.downsampling} (the downsampling_ratio)"
        )
    dit = model.diffusion.config
    path = "$.model.conditioning"
    try:
        native_conditioning = ConditioningConfig(
            width=conditioning.cond_dim,
            conditioners=tuple(_conditioner(each) for each in conditioning.configs),
            cross_attention=model.diffusion.cross_attention_cond_ids,
            global_=_given(model.diffusion.global_cond_ids, ()),
        )
        path = "$.model.diffusion.config"
        transformer = TransformerConfig(
            latent_channels=dit.io_channels,
            width=dit.embed_dim,
            depth=dit.depth,
            heads=dit.num_heads,
            context_width=dit.cond_token_dim,
            global_width=_given(dit.global_cond_dim, 0),
            rotated=_rotated(dit.embed_dim // dit.num_heads),
            qk_norm=_qk_norm(dit),
            project_context=_given(dit.project_cond_tokens, True),
            inpainting=inpainting,
        )
        path = "$.model.diffusion.distribution_shift_options"
        shift = _timestep_shift(model.diffusion.distribution_shift_options)
        path = "$"
        return DiffusionModelConfig(
            name=name,
            sample_rate=file.sample_rate,
            audio_channels=file.audio_channels,
            window_samples=file.sample_size,
            autoencoder=msgspec.structs.replace(
                autoencoder,
                scale=_given(model.pretransform.scale, 1.0),
                iterate_batch=_given(model.pretransform.iterate_batch, False),
            ),
            conditioning=native_conditioning,
            transformer=transformer,
            objective=_given(model.diffusion.diffusion_objective, "v"),
            timestep_shift=shift,
        )
    except ValueError as error:
        raise ConfigError(f"{source}: {path}: {error}") from error


def _qk_norm(dit: layout.DitSettings) -> Literal["none", "ln"]:
    if isinstance(dit.attn_kwargs, UnsetType):
        return "none"
    return _given(dit.attn_kwargs.qk_norm, "none")


def _timestep_shift(
    file: layout.DistributionShift | UnsetType,
) -> TimestepShiftConfig | None:
    return None if file is UNSET else TimestepShiftConfig(**msgspec.to_builtins(file))


def _rotated(head_width: int) -> int | None:
    """Return how many features of a head are rotated, None for half of them.

    stable-audio-tools rotates half of a head and at least 32; of narrower heads it cannot rotate
    any.
    """
    if head_width < layout.LEAST_ROTATED:
        raise ValueError(
            f"`embed_dim` / `num_heads` is {head_width}; allowed: at least {layout.LEAST_ROTATED}, "
            "which are rotated whatever the width of a head"
        )
    return layout.LEAST_ROTATED if head_width < 2 * layout.LEAST_ROTATED else None


def _autoencoder_file(
    file: layout.AutoencoderFile, *, name: str, source: str
) -> AutoencoderModelConfig:
    untranslated = ["$.sample_size (the length of its crops)"]
    if file.training is not UNSET:
        untranslated.append("$.training")
    if file.model.encoder.requires_grad is not UNSET:
        untranslated.append("$.model.encoder.requires_grad")
    logger.warning(
        "%s: how an autoencoder was trained is not translated; left out: %s",
        source,
        ", ".join(untranslated),
    )
    return AutoencoderModelConfig(
        name=name,
        sample_rate=file.sample_rate,
        audio_channels=file.audio_channels,
        autoencoder=_autoencoder(
            file.model, audio_channels=file.audio_channels, source=source, path="$.model"
        ),
    )


def _autoencoder(
    file: layout.Autoencoder, *, audio_channels: int, source: str, path: str
) -> AutoencoderConfig:
    encoder, decoder = file.encoder.config, file.decoder.config
    _check_rules(_autoencoder_rules(file, audio_channels, path), source=source)
    place = f"{path}.encoder.config"
    try:
        native_encoder = OobleckConfig(
            channels=encoder.channels, multipliers=encoder.c_mults, strides=encoder.strides
        )
        place = f"{path}.decoder.config"
        native_decoder = OobleckConfig(
            channels=decoder.channels,
            multipliers=decoder.c_mults,
            strides=decoder.strides,
            final_tanh=decoder.final_tanh,
        )
        place = path
        return AutoencoderConfig(
            encoder=native_encoder,
            decoder=native_decoder,
            bottleneck=VaeConfig(),
            latent_channels=file.latent_dim,
        )
    except ValueError as error:
        raise ConfigError(f"{source}: {place}: {error}") from error


def _conditioner(
    file: layout.T5Conditioner | layout.NumberConditionerSettings,
) -> T5Config | NumberConfig:
    if isinstance(file, layout.NumberConditionerSettings):
        return NumberConfig(id=file.id, min=file.config.min_val, max=file.config.max_val)
    return T5Config(
        id=file.id,
        model=file.config.t5_model_name,
        max_length=file.config.max_length,
        trainable=_given(file.config.enable_grad, False),
    )


def _training(file: layout.DiffusionCondTraining) -> DiffusionTrainingConfig:
    optimizer = file.optimizer_configs.diffusion.optimizer.config
    scheduler = file.optimizer_configs.diffusion.scheduler.config
    return DiffusionTrainingConfig(
        optimizer=AdamWConfig(
            lr=optimizer.lr, betas=optimizer.betas, weight_decay=optimizer.weight_decay
        ),
        schedule=InverseLRConfig(
            inv_gamma=scheduler.inv_gamma, power=scheduler.power, warmup=scheduler.warmup
        ),
        guidance_dropout=_given(file.cfg_dropout_prob, 0.1),
        ema=EmaConfig() if _given(file.use_ema, True) else None,
        log_loss_by_timestep=_given(file.log_loss_info, False),
        # What is uniform there is a Sobol sequence.
        timesteps="logit_normal" if file.timestep_sampler == "logit_normal" else "sobol",
        demo=None if file.demo is UNSET else _demo(file.demo),
    )


def _demo(file: layout.DemoSettings) -> DemoConfig:
    return DemoConfig(
        every=file.demo_every,
        steps=file.demo_steps,
        count=file.num_demos,
        conditions=file.demo_cond,
        guidance_scales=file.demo_cfg_scales,
    )


def _autoencoder_rules(file: layout.Autoencoder, audio_channels: int, path: str) -> Iterable[Rule]:
    """Yield what the layout says twice."""
    encoder, decoder = file.encoder.config, file.decoder.config
    audio = "the audio_channels"
    yield f"{path}.io_channels", file.io_channels, audio_channels, audio
    yield f"{path}.in_channels", file.in_channels, audio_channels, audio
    yield f"{path}.out_channels", file.out_channels, audio_channels, audio
    yield f"{path}.encoder.config.in_channels", encoder.in_channels, audio_channels, audio
    yield f"{path}.decoder.config.out_channels", decoder.out_channels, audio_channels, audio
    twice = "means and scales, twice the autoencoder's latent_dim"
    yield f"{path}.encoder.config.latent_dim", encoder.latent_dim, 2 * file.latent_dim, twice
    same = "the autoencoder's latent_dim"
    yield f"{path}.decoder.config.latent_dim", decoder.latent_dim, file.latent_dim, same
    ratio = "the product of the encoder's strides"
    yield f"{path}.downsampling_ratio", file.downsampling_ratio, prod(encoder.strides), ratio


def _diffusion_rules(model: layout.DiffusionCondModel) -> Iterable[Rule]:
    """Yield what the layout says twice."""
    dit, width = model.diffusion.config, model.conditioning.cond_dim
    latents, path = model.pretransform.config.latent_dim, "$.model.diffusion.config"
    yield "$.model.io_channels", model.io_channels, latents, "the autoencoder's latent_dim"
    yield f"{path}.io_channels", dit.io_channels, latents, "the autoencoder's latent_dim"
    yield f"{path}.cond_token_dim", dit.cond_token_dim, width, "the cond_dim"
    global_width = width * len(_given(model.diffusion.global_cond_ids, ()))
    wide = "the cond_dim x the number of global_cond_ids"
    yield f"{path}.global_cond_dim", _given(dit.global_cond_dim, 0), global_width, wide
    objective = _given(model.diffusion.diffusion_objective, "v")
    same = "the diffusion_objective of model.diffusion"
    yield f"{path}.diffusion_objective", dit.diffusion_objective, objective, same


def _check_concatenated(file: layout.Diffusion, *, inpainting: bool, source: str) -> None:
    """Check that inpainting channels are there where the kind of model has them, and only there."""
    kind = "diffusion_cond_inpaint" if inpainting else "diffusion_cond"
    names = layout.INPAINTING_IDS if inpainting else ()
    if _given(file.input_concat_ids, ()) != names:
        shown = ", ".join(f'"{name}"' for name in _given(file.input_concat_ids, ()))
        raise ConfigError(
            f"{source}: $.model.diffusion.input_concat_ids: found [{shown}]; allowed: "
            f"{list(names)} (of a model_type {kind})".replace("'", '"')
        )
    channels = file.config.io_channels + 1 if inpainting else 0
    rule = (
        "$.model.diffusion.config.input_concat_dim",
        _given(file.config.input_concat_dim, 0),
        channels,
        f"mask and masked latents of a model_type {kind}"
        if inpainting
        else "of a model_type " + kind,
    )
    _check_rules([rule], source=source)


def _check_rules(rules: Iterable[Rule], *, source: str) -> None:
    for path, value, expected, what in rules:
        if value is not UNSET and value != expected:
            raise ConfigError(f"{source}: {path}: {found(value)}; allowed: {expected} ({what})")


def _given(value: Value | UnsetType, default: Value) -> Value:
    """Return the value, or stable-audio-tools' default where the file leaves it out."""
    return default if isinstance(value, UnsetType) else value

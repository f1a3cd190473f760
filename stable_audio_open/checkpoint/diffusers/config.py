"""The configuration of a diffusers pipeline, from the `config.json` of its parts."""

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from stable_audio_open.checkpoint.native import TEXT_ENCODER_FOLDER
from stable_audio_open.config.autoencoder import AutoencoderConfig, OobleckConfig, VaeConfig
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.fields import Depth, Positive, SampleRate, Size
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.config.values.check import check, type_info
from stable_audio_open.config.values.describe import found
from stable_audio_open.config.values.json_text import parse_json

CONFIG = "config.json"
AUTOENCODER_CLASS = "AutoencoderOobleck"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENS = 128
"""Tokens per prompt of the published model, for a tokenizer that sets no limit."""

SCHEDULER = {
    "_class_name": "CosineDPMSolverMultistepScheduler",
    "sigma_min": 0.3,
    "sigma_max": 500,
    "sigma_data": 1.0,
    "sigma_schedule": "exponential",
    "num_train_timesteps": 1000,
    "solver_order": 2,
    "prediction_type": "v_prediction",
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
}
"""The published pipeline's `scheduler/scheduler_config.json`."""

File = TypeVar("File", bound=Struct)


class TransformerFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`transformer/config.json`."""

    sample_size: Positive
    in_channels: Size
    num_layers: Depth
    attention_head_dim: Size
    num_attention_heads: Size
    num_key_value_attention_heads: Size
    out_channels: Size
    cross_attention_dim: Size
    time_proj_dim: Literal[256]
    global_states_input_dim: Size
    cross_attention_input_dim: Size


class VaeConfigFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`vae/config.json`."""

    encoder_hidden_size: Size
    downsampling_ratios: tuple[Size, ...]
    channel_multiples: tuple[Size, ...]
    decoder_channels: Size
    decoder_input_channels: Size
    audio_channels: Size
    sampling_rate: SampleRate


class ProjectionFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`projection_model/config.json`."""

    text_encoder_dim: Size
    conditioning_dim: Size
    min_value: float
    max_value: float


def class_name(folder: Path) -> str | None:
    """Return the diffusers class that a part's folder says it holds."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    value = parse_json(path.read_bytes(), source=str(path))
    name = value.get("_class_name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def read_autoencoder_config(folder: Path) -> AutoencoderModelConfig:
    """Read the configuration of the folder `vae/`.

    Raises:
        ConfigError: It is damaged, or of a kind that is not supported.
    """
    file, source = _read(folder / CONFIG, VaeConfigFile), str(folder / CONFIG)
    twice = "means and scales, twice the decoder_input_channels"
    _check_rules(
        [("encoder_hidden_size", file.encoder_hidden_size, 2 * file.decoder_input_channels, twice)],
        source=source,
    )
    try:
        sides = [
            OobleckConfig(
                channels=channels,
                multipliers=file.channel_multiples,
                strides=file.downsampling_ratios,
            )
            for channels in (file.encoder_hidden_size, file.decoder_channels)
        ]
        config = AutoencoderModelConfig(
            name=folder.absolute().name,
            sample_rate=file.sampling_rate,
            audio_channels=file.audio_channels,
            autoencoder=AutoencoderConfig(
                encoder=sides[0],
                decoder=sides[1],
                bottleneck=VaeConfig(),
                latent_channels=file.decoder_input_channels,
            ),
        )
    except ValueError as error:
        raise ConfigError(f"{source}: $: {error}") from error
    return config


def read_pipeline_config(folder: Path) -> DiffusionModelConfig:
    """Read the configuration of a pipeline's folder.

    Raises:
        ConfigError: It is damaged, or of a kind that is not supported.
    """
    autoencoder = read_autoencoder_config(folder / "vae")
    source = str(folder / "transformer" / CONFIG)
    file = _read(folder / "transformer" / CONFIG, TransformerFile)
    projection = _read(folder / "projection_model" / CONFIG, ProjectionFile)
    _check_rules(_transformer_rules(file, projection), source=source)
    numbers = ("seconds_start", "seconds_total")
    tokens = _tokens(folder)
    try:
        return DiffusionModelConfig(
            name=folder.absolute().name,
            sample_rate=autoencoder.sample_rate,
            audio_channels=autoencoder.audio_channels,
            window_samples=file.sample_size * prod(autoencoder.autoencoder.encoder.strides),
            autoencoder=autoencoder.autoencoder,
            conditioning=ConditioningConfig(
                width=projection.conditioning_dim,
                conditioners=(
                    T5Config(id="prompt", model=TEXT_ENCODER_FOLDER, max_length=tokens),
                    *(
                        NumberConfig(id=name, min=projection.min_value, max=projection.max_value)
                        for name in numbers
                    ),
                ),
                cross_attention=("prompt", *numbers),
                global_=numbers,
            ),
            transformer=TransformerConfig(
                latent_channels=file.in_channels,
                width=file.num_attention_heads * file.attention_head_dim,
                depth=file.num_layers,
                heads=file.num_attention_heads,
                context_width=file.cross_attention_dim,
                global_width=file.global_states_input_dim,
            ),
        )
    except ValueError as error:
        raise ConfigError(f"{source}: $: {error}") from error


def pipeline_files(config: DiffusionModelConfig, *, text_width: int) -> dict[str, dict[str, Any]]:
    """Return the JSON files of a pipeline by their path; the opposite of `read_pipeline_config`.

    The text encoder's classes, in `model_index.json`, and its own files are left to others.

    Args:
        config: Configuration of a whole model.
        text_width: Width of the text encoder.

    Raises:
        ConfigError: When a pipeline cannot hold such a model.
    """
    autoencoder, transformer = config.autoencoder, config.transformer
    _check_exportable(config)
    number = next(c for c in config.conditioning.conditioners if isinstance(c, NumberConfig))
    hop = prod(autoencoder.encoder.strides)
    return {
        "model_index.json": {
            "_class_name": "StableAudioPipeline",
            "projection_model": ["stable_audio", "StableAudioProjectionModel"],
            "scheduler": ["diffusers", "CosineDPMSolverMultistepScheduler"],
            "transformer": ["diffusers", "StableAudioDiTModel"],
            "vae": ["diffusers", AUTOENCODER_CLASS],
        },
        "scheduler/scheduler_config.json": SCHEDULER,
        "vae/config.json": {
            "_class_name": AUTOENCODER_CLASS,
            "encoder_hidden_size": autoencoder.encoder.channels,
            "downsampling_ratios": list(autoencoder.encoder.strides),
            "channel_multiples": list(autoencoder.encoder.multipliers),
            "decoder_channels": autoencoder.decoder.channels,
            "decoder_input_channels": autoencoder.latent_channels,
            "audio_channels": config.audio_channels,
            "sampling_rate": config.sample_rate,
        },
        "transformer/config.json": {
            "_class_name": "StableAudioDiTModel",
            "sample_size": config.window_samples // hop,
            "in_channels": transformer.latent_channels,
            "num_layers": transformer.depth,
            "attention_head_dim": transformer.width // transformer.heads,
            "num_attention_heads": transformer.heads,
            "num_key_value_attention_heads": (
                transformer.context_width * transformer.heads // transformer.width
            ),
            "out_channels": transformer.latent_channels,
            "cross_attention_dim": transformer.context_width,
            "time_proj_dim": 256,
            "global_states_input_dim": transformer.global_width,
            "cross_attention_input_dim": config.conditioning.width,
        },
        "projection_model/config.json": {
            "_class_name": "StableAudioProjectionModel",
            "text_encoder_dim": text_width,
            "conditioning_dim": config.conditioning.width,
            "min_value": number.min,
            "max_value": number.max,
        },
    }


def _check_exportable(config: DiffusionModelConfig) -> None:
    """Refuse what the classes of diffusers cannot express."""
    encoder, decoder = config.autoencoder.encoder, config.autoencoder.decoder
    twice = 2 * config.autoencoder.latent_channels
    parts = config.conditioning
    ids = tuple(part.id for part in parts.conditioners)
    limits = [(part.min, part.max) for part in parts.conditioners if isinstance(part, NumberConfig)]
    first, last = (limits[0], limits[-1]) if limits else ((0, 0), (0, 0))
    numbers = ("seconds_start", "seconds_total")
    transformer = config.transformer
    half = transformer.width // transformer.heads // 2
    for path, value, expected in (
        ("objective", config.objective, "v"),
        ("autoencoder.scale", config.autoencoder.scale, 1.0),
        ("autoencoder.encoder.channels", encoder.channels, twice),
        ("autoencoder.decoder.multipliers", decoder.multipliers, encoder.multipliers),
        ("autoencoder.decoder.strides", decoder.strides, encoder.strides),
        ("autoencoder.decoder.final_tanh", decoder.final_tanh, False),
        ("conditioning.conditioners", ids, ("prompt", *numbers)),
        ("conditioning.cross_attention", parts.cross_attention, ("prompt", *numbers)),
        ("conditioning.global", parts.global_, numbers),
        ("conditioning.conditioners[2].min", last[0], first[0]),
        ("conditioning.conditioners[2].max", last[1], first[1]),
        ("transformer.context_width", transformer.context_width, parts.width),
        ("transformer.rotated", transformer.rotated_features, half),
        ("transformer.qk_norm", transformer.qk_norm, "none"),
        ("transformer.project_context", transformer.project_context, False),
        ("transformer.inpainting", transformer.inpainting, False),
    ):
        if value != expected:
            raise ConfigError(
                f"{config.name}: $.{path}: {found(value)}; allowed in diffusers: {expected}"
            )


def _transformer_rules(
    file: TransformerFile, projection: ProjectionFile
) -> Iterable[tuple[str, int, int, str]]:
    """Yield what the files say twice: field, value found, value it must have, what that is."""
    yield "out_channels", file.out_channels, file.in_channels, "the in_channels"
    width = projection.conditioning_dim
    same = "the projection_model's conditioning_dim"
    yield "cross_attention_input_dim", file.cross_attention_input_dim, width, same
    yield "cross_attention_dim", file.cross_attention_dim, width, same
    heads, wide = file.cross_attention_dim // file.attention_head_dim, "context / head width"
    yield "num_key_value_attention_heads", file.num_key_value_attention_heads, heads, wide


def _check_rules(rules: Iterable[tuple[str, int, int, str]], *, source: str) -> None:
    for name, value, expected, what in rules:
        if value != expected:
            raise ConfigError(f"{source}: $.{name}: {found(value)}; allowed: {expected} ({what})")


def _tokens(folder: Path) -> int:
    """Return the length that the pipeline pads prompts to."""
    path = folder / "tokenizer" / TOKENIZER_CONFIG
    if not path.is_file():
        return TOKENS
    settings = parse_json(path.read_bytes(), source=str(path))
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: $: {found(settings)}; allowed: an object")
    value = settings.get("model_max_length")
    # A tokenizer without a limit says 10^30.
    return value if isinstance(value, int) and 0 < value < 10**6 else TOKENS


def _read(path: Path, kind: type[File]) -> File:
    try:
        value = parse_json(path.read_bytes(), source=str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if not name.startswith("_")}
    check(value, type_info(kind), source=str(path))
    return msgspec.convert(value, kind)

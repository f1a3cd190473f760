"""stable-audio-tools' layout: exported models, wrapped training checkpoints, lone autoencoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.weights.key_map import COMMON_KINDS, KeyMap, KeyRow, Leaf, expand
from stable_audio_open.checkpoint.weights.tensors import read_tensors
from stable_audio_open.config.autoencoder import AutoencoderConfig
from stable_audio_open.config.conditioning import ConditioningConfig, T5Config
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.read import read_config
from stable_audio_open.config.transformer import TransformerConfig

CONFIG = "model_config.json"
WEIGHTS = ("model.safetensors", "model.ckpt")
AUTOENCODER_CONFIG = "vae_config.json"
AUTOENCODER_WEIGHTS = ("vae_model.safetensors", "vae_model.ckpt")

AUTOENCODER = "pretransform.model."
TRANSFORMER = "model.model."
CONDITIONER = "conditioner."

KINDS = {
    **COMMON_KINDS,
    "snake": (Leaf("alpha", "alpha"), Leaf("beta", "beta")),
    "norm": (Leaf("gain", "gamma"), Leaf("offset", "beta")),
    "time features": (Leaf("weight", "weight", "column"),),
    "rotary": (Leaf("inverse_frequencies", "inv_freq"),),
}

ENCODER_ROWS = (
    KeyRow("input", "layers.0", "conv"),
    KeyRow("blocks.{b}.units.{u}.snake1", "layers.{b1}.layers.{u}.layers.0", "snake"),
    KeyRow("blocks.{b}.units.{u}.conv1", "layers.{b1}.layers.{u}.layers.1", "conv"),
    KeyRow("blocks.{b}.units.{u}.snake2", "layers.{b1}.layers.{u}.layers.2", "snake"),
    KeyRow("blocks.{b}.units.{u}.conv2", "layers.{b1}.layers.{u}.layers.3", "conv"),
    KeyRow("blocks.{b}.snake", "layers.{b1}.layers.3", "snake"),
    KeyRow("blocks.{b}.downsample", "layers.{b1}.layers.4", "conv"),
    KeyRow("snake", "layers.{n1}", "snake"),
    KeyRow("output", "layers.{n2}", "conv"),
)

DECODER_ROWS = (
    KeyRow("input", "layers.0", "conv"),
    KeyRow("blocks.{b}.snake", "layers.{b1}.layers.0", "snake"),
    KeyRow("blocks.{b}.upsample", "layers.{b1}.layers.1", "conv"),
    KeyRow("blocks.{b}.units.{u}.snake1", "layers.{b1}.layers.{u2}.layers.0", "snake"),
    KeyRow("blocks.{b}.units.{u}.conv1", "layers.{b1}.layers.{u2}.layers.1", "conv"),
    KeyRow("blocks.{b}.units.{u}.snake2", "layers.{b1}.layers.{u2}.layers.2", "snake"),
    KeyRow("blocks.{b}.units.{u}.conv2", "layers.{b1}.layers.{u2}.layers.3", "conv"),
    KeyRow("snake", "layers.{n1}", "snake"),
    KeyRow("output", "layers.{n2}", "conv without bias"),
)

_BLOCK = "transformer.layers.{b}."
TRANSFORMER_ROWS = (
    KeyRow("time_features", "timestep_features", "time features"),
    KeyRow("time_embedding.0", "to_timestep_embed.0", "linear"),
    KeyRow("time_embedding.2", "to_timestep_embed.2", "linear"),
    KeyRow("context_projection.0", "to_cond_embed.0", "matrix"),
    KeyRow("context_projection.2", "to_cond_embed.2", "matrix"),
    KeyRow("global_projection.0", "to_global_embed.0", "matrix"),
    KeyRow("global_projection.2", "to_global_embed.2", "matrix"),
    KeyRow("input_conv", "preprocess_conv", "matrix"),
    KeyRow("output_conv", "postprocess_conv", "matrix"),
    KeyRow("input_projection", "transformer.project_in", "matrix"),
    KeyRow("output_projection", "transformer.project_out", "matrix"),
    KeyRow("rotary", "transformer.rotary_pos_emb", "rotary"),
    KeyRow("blocks.{b}.self_norm", _BLOCK + "pre_norm", "norm"),
    KeyRow("blocks.{b}.self_attention.qkv", _BLOCK + "self_attn.to_qkv", "matrix"),
    KeyRow("blocks.{b}.self_attention.output", _BLOCK + "self_attn.to_out", "matrix"),
    KeyRow("blocks.{b}.self_attention.query_norm", _BLOCK + "self_attn.q_norm", "linear"),
    KeyRow("blocks.{b}.self_attention.key_norm", _BLOCK + "self_attn.k_norm", "linear"),
    KeyRow("blocks.{b}.cross_norm", _BLOCK + "cross_attend_norm", "norm"),
    KeyRow("blocks.{b}.cross_attention.query", _BLOCK + "cross_attn.to_q", "matrix"),
    KeyRow("blocks.{b}.cross_attention.key_value", _BLOCK + "cross_attn.to_kv", "matrix"),
    KeyRow("blocks.{b}.cross_attention.output", _BLOCK + "cross_attn.to_out", "matrix"),
    KeyRow("blocks.{b}.cross_attention.query_norm", _BLOCK + "cross_attn.q_norm", "linear"),
    KeyRow("blocks.{b}.cross_attention.key_norm", _BLOCK + "cross_attn.k_norm", "linear"),
    KeyRow("blocks.{b}.feedforward_norm", _BLOCK + "ff_norm", "norm"),
    KeyRow("blocks.{b}.feedforward.expand", _BLOCK + "ff.ff.0.proj", "linear"),
    KeyRow("blocks.{b}.feedforward.contract", _BLOCK + "ff.ff.2", "linear"),
)


class Wrapper(NamedTuple):
    """Prefixes in the checkpoint of a training run."""

    online: str
    average: str
    averaged: str
    """The part of the model that the average covers."""


WRAPPERS = (
    Wrapper("diffusion.", "diffusion_ema.ema_model.", "model."),
    Wrapper("autoencoder.", "autoencoder_ema.ema_model.", ""),
)
TRAINING_ONLY = (
    # What an EMA wrapper holds beside its average: the online weights once more, and counters.
    "diffusion_ema.online_model.",
    "autoencoder_ema.online_model.",
    "diffusion_ema.initted",
    "diffusion_ema.step",
    "autoencoder_ema.initted",
    "autoencoder_ema.step",
    "discriminator.",
    "losses.",
    "losses_gen.",
    "losses_disc.",
    "gen_loss_modules.",
    "disc_loss_modules.",
    "sdstft.",
    "lrstft.",
    "teacher_model.",
)
"""Names and prefixes of what only the training uses."""

# torch's newer weight normalisation has other names for the same two tensors.
_RENAMED = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


def autoencoder_keys(config: AutoencoderConfig) -> KeyMap:
    """Return the names of an autoencoder's tensors, in a file of its own."""
    encoder = expand(ENCODER_ROWS, KINDS, blocks=len(config.encoder.strides))
    decoder = expand(DECODER_ROWS, KINDS, blocks=len(config.decoder.strides))
    return KeyMap(tuple(encoder)).under("encoder.", "encoder.") + KeyMap(tuple(decoder)).under(
        "decoder.", "decoder."
    )


def transformer_keys(config: TransformerConfig) -> KeyMap:
    """Return the names of a diffusion transformer's tensors, without the prefix `model.model.`."""
    return KeyMap(tuple(expand(TRANSFORMER_ROWS, KINDS, blocks=config.depth)))


def conditioner_keys(config: ConditioningConfig) -> KeyMap:
    """Return the names of the conditioners' tensors, without the prefix `conditioner.`."""
    rows, prefixes = [], {}
    for part in config.conditioners:
        there = f"conditioners.{part.id}."
        if isinstance(part, T5Config):
            rows.append(KeyRow(f"texts.{part.id}.projection", there + "proj_out", "linear"))
            prefixes[f"texts.{part.id}.encoder."] = there + "model."
        else:
            embedding = there + "embedder.embedding."
            rows += [
                KeyRow(f"numbers.{part.id}.features", embedding + "0", "number features"),
                KeyRow(f"numbers.{part.id}.projection", embedding + "1", "linear"),
            ]
    return KeyMap(tuple(expand(rows, KINDS, blocks=1)), prefixes=prefixes)


def model_keys(config: ModelConfig) -> KeyMap:
    """Return the names of all tensors of a model."""
    autoencoder = autoencoder_keys(config.autoencoder)
    if isinstance(config, AutoencoderModelConfig):
        return autoencoder
    return (
        autoencoder.under("autoencoder.", AUTOENCODER)
        + transformer_keys(config.transformer).under("transformer.", TRANSFORMER)
        + conditioner_keys(config.conditioning).under("conditioner.", CONDITIONER)
    )


def find(path: Path) -> tuple[Path, Path] | None:
    """Return the weights and the configuration that a folder or file means, if there are both."""
    if path.is_dir():
        candidates = [path / name for name in (*WEIGHTS, *AUTOENCODER_WEIGHTS)]
    else:
        candidates = [path]
    for weights in candidates:
        stem = weights.stem.removesuffix("_model")
        for name in dict.fromkeys((f"{stem}_config.json", CONFIG, AUTOENCODER_CONFIG)):
            config = weights.parent / name
            if weights.is_file() and config.is_file():
                return weights, config
    return None


def read_stable_audio_tools(weights: Path, config_path: Path, *, use_ema: bool) -> Checkpoint:
    """Read weights and their `model_config.json`.

    A file that holds an autoencoder alone is read as one, also with the configuration of the
    whole model.

    Args:
        weights: An exported model, an autoencoder, or the checkpoint of a training run.
        config_path: Its configuration.
        use_ema: Take the averaged weights where there are any.
    """
    config = read_config(config_path, for_training=False)
    tensors = unwrap(read_tensors(weights).tensors, use_ema=use_ema)
    alone = not any(name.startswith((TRANSFORMER, CONDITIONER)) for name in tensors)
    if alone:
        tensors = {name.removeprefix(AUTOENCODER): tensor for name, tensor in tensors.items()}
        if isinstance(config, DiffusionModelConfig):
            config = _autoencoder_part(config)
    folder = weights.parent
    text_encoder, tokenizer = folder / "text_encoder", folder / "tokenizer"
    return Checkpoint(
        config,
        tensors,
        weights,
        model_keys(config),
        text_encoder if text_encoder.is_dir() else None,
        tokenizer if tokenizer.is_dir() else None,
    )


def unwrap(tensors: Mapping[str, Tensor], *, use_ema: bool) -> dict[str, Tensor]:
    """Name tensors as an exported model does, whatever they were stored in."""
    tensors = {_plain(name): tensor for name, tensor in tensors.items()}
    for wrapper in WRAPPERS:
        if any(name.startswith(wrapper.online) for name in tensors):
            return _unwrap(tensors, wrapper, use_ema=use_ema)
    return tensors


def _unwrap(tensors: Mapping[str, Tensor], wrapper: Wrapper, *, use_ema: bool) -> dict[str, Tensor]:
    online, other = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(wrapper.online):
            online[name.removeprefix(wrapper.online)] = tensor
        elif not name.startswith((wrapper.average, *TRAINING_ONLY)):
            other[name] = tensor  # strict loading will tell that it is unexpected
    average = {}
    for name, tensor in tensors.items():
        if name.startswith(wrapper.average):
            part = wrapper.averaged + name.removeprefix(wrapper.average)
            # The average is of the transformer inside its own wrapper, or of it alone.
            average[part if part in online else wrapper.averaged + part] = tensor
    if use_ema and average:
        rest = {k: v for k, v in online.items() if not k.startswith(wrapper.averaged)}
        return rest | average | other
    return online | other


def _plain(name: str) -> str:
    for ending, plain in _RENAMED.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + plain
    return name


def _autoencoder_part(config: DiffusionModelConfig) -> AutoencoderModelConfig:
    return AutoencoderModelConfig(
        name=config.name,
        sample_rate=config.sample_rate,
        audio_channels=config.audio_channels,
        autoencoder=config.autoencoder,
    )

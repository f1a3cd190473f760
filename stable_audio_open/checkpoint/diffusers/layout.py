"""diffusers' layout: one folder for each part, `model_index.json` above them."""

from pathlib import Path

from stable_audio_open.checkpoint.diffusers.config import (
    AUTOENCODER_CLASS,
    class_name,
    read_autoencoder_config,
    read_pipeline_config,
)
from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.weights.key_map import COMMON_KINDS, KeyMap, KeyRow, Leaf, expand
from stable_audio_open.checkpoint.weights.sharded import check_variant, files_in, read_weights
from stable_audio_open.config.autoencoder import AutoencoderConfig
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.nn.rotary import RotaryEmbedding

INDEX = "model_index.json"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
PARTS = ("transformer", "vae", "projection_model")

KINDS = {
    **COMMON_KINDS,
    "snake": (Leaf("alpha", "alpha", "channels"), Leaf("beta", "beta", "channels")),
    "norm": (Leaf("gain", "weight"), Leaf("offset", "bias")),
}

AUTOENCODER_ROWS = (
    KeyRow("encoder.input", "encoder.conv1", "conv"),
    KeyRow("encoder.blocks.{b}.units.{u}.snake1", "encoder.block.{b}.res_unit{u1}.snake1", "snake"),
    KeyRow("encoder.blocks.{b}.units.{u}.conv1", "encoder.block.{b}.res_unit{u1}.conv1", "conv"),
    KeyRow("encoder.blocks.{b}.units.{u}.snake2", "encoder.block.{b}.res_unit{u1}.snake2", "snake"),
    KeyRow("encoder.blocks.{b}.units.{u}.conv2", "encoder.block.{b}.res_unit{u1}.conv2", "conv"),
    KeyRow("encoder.blocks.{b}.snake", "encoder.block.{b}.snake1", "snake"),
    KeyRow("encoder.blocks.{b}.downsample", "encoder.block.{b}.conv1", "conv"),
    KeyRow("encoder.snake", "encoder.snake1", "snake"),
    KeyRow("encoder.output", "encoder.conv2", "conv"),
    KeyRow("decoder.input", "decoder.conv1", "conv"),
    KeyRow("decoder.blocks.{b}.snake", "decoder.block.{b}.snake1", "snake"),
    KeyRow("decoder.blocks.{b}.upsample", "decoder.block.{b}.conv_t1", "conv"),
    KeyRow("decoder.blocks.{b}.units.{u}.snake1", "decoder.block.{b}.res_unit{u1}.snake1", "snake"),
    KeyRow("decoder.blocks.{b}.units.{u}.conv1", "decoder.block.{b}.res_unit{u1}.conv1", "conv"),
    KeyRow("decoder.blocks.{b}.units.{u}.snake2", "decoder.block.{b}.res_unit{u1}.snake2", "snake"),
    KeyRow("decoder.blocks.{b}.units.{u}.conv2", "decoder.block.{b}.res_unit{u1}.conv2", "conv"),
    KeyRow("decoder.snake", "decoder.snake1", "snake"),
    KeyRow("decoder.output", "decoder.conv2", "conv without bias"),
)

_BLOCK = "transformer_blocks.{b}."
_SELF, _CROSS = _BLOCK + "attn1.", _BLOCK + "attn2."
TRANSFORMER_ROWS = (
    KeyRow("time_features", "time_proj", "matrix"),
    KeyRow("time_embedding.0", "timestep_proj.0", "linear"),
    KeyRow("time_embedding.2", "timestep_proj.2", "linear"),
    KeyRow("context_projection.0", "cross_attention_proj.0", "matrix"),
    KeyRow("context_projection.2", "cross_attention_proj.2", "matrix"),
    KeyRow("global_projection.0", "global_proj.0", "matrix"),
    KeyRow("global_projection.2", "global_proj.2", "matrix"),
    KeyRow("input_conv", "preprocess_conv", "matrix"),
    KeyRow("output_conv", "postprocess_conv", "matrix"),
    KeyRow("input_projection", "proj_in", "matrix"),
    KeyRow("output_projection", "proj_out", "matrix"),
    KeyRow("blocks.{b}.self_norm", _BLOCK + "norm1", "norm"),
    KeyRow("blocks.{b}.self_attention.qkv", f"{_SELF}to_q|{_SELF}to_k|{_SELF}to_v", "matrix"),
    KeyRow("blocks.{b}.self_attention.output", _SELF + "to_out.0", "matrix"),
    KeyRow("blocks.{b}.cross_norm", _BLOCK + "norm2", "norm"),
    KeyRow("blocks.{b}.cross_attention.query", _CROSS + "to_q", "matrix"),
    KeyRow("blocks.{b}.cross_attention.key_value", f"{_CROSS}to_k|{_CROSS}to_v", "matrix"),
    KeyRow("blocks.{b}.cross_attention.output", _CROSS + "to_out.0", "matrix"),
    KeyRow("blocks.{b}.feedforward_norm", _BLOCK + "norm3", "norm"),
    KeyRow("blocks.{b}.feedforward.expand", _BLOCK + "ff.net.0.proj", "linear"),
    KeyRow("blocks.{b}.feedforward.contract", _BLOCK + "ff.net.2", "linear"),
)

_EMBEDDING = "_number_conditioner.time_positional_embedding."
CONDITIONER_ROWS = (
    KeyRow("texts.prompt.projection", "text_projection", "linear"),
    KeyRow("numbers.seconds_start.features", f"start{_EMBEDDING}0", "number features"),
    KeyRow("numbers.seconds_start.projection", f"start{_EMBEDDING}1", "linear"),
    KeyRow("numbers.seconds_total.features", f"end{_EMBEDDING}0", "number features"),
    KeyRow("numbers.seconds_total.projection", f"end{_EMBEDDING}1", "linear"),
)


def autoencoder_keys(config: AutoencoderConfig) -> KeyMap:
    """Return the names of the tensors in `vae/`."""
    return KeyMap(tuple(expand(AUTOENCODER_ROWS, KINDS, blocks=len(config.encoder.strides))))


def transformer_keys(config: TransformerConfig) -> KeyMap:
    """Return the names of the tensors in `transformer/`; rotary frequencies are not stored."""
    rotated = config.rotated_features
    return KeyMap(
        tuple(expand(TRANSFORMER_ROWS, KINDS, blocks=config.depth)),
        {"rotary.inverse_frequencies": RotaryEmbedding(rotated=rotated).inverse_frequencies},
    )


def conditioner_keys() -> KeyMap:
    """Return the names of the tensors in `projection_model/`."""
    return KeyMap(
        tuple(expand(CONDITIONER_ROWS, KINDS, blocks=1)),
        prefixes={"texts.prompt.encoder.": "text_encoder/"},
    )


def pipeline_keys(config: DiffusionModelConfig) -> KeyMap:
    """Return the names of all tensors of a pipeline, with their folder before them."""
    return (
        autoencoder_keys(config.autoencoder).under("autoencoder.", "vae/")
        + transformer_keys(config.transformer).under("transformer.", "transformer/")
        + conditioner_keys().under("conditioner.", "projection_model/")
    )


def is_diffusers_folder(folder: Path) -> bool:
    """Say whether a folder holds a whole pipeline."""
    return (folder / INDEX).is_file()


def is_autoencoder_folder(folder: Path) -> bool:
    """Say whether a folder holds the autoencoder of a pipeline."""
    return class_name(folder) == AUTOENCODER_CLASS


def read_autoencoder(folder: Path, *, variant: str | None = None) -> Checkpoint:
    """Read the folder `vae/` alone.

    Args:
        folder: The folder.
        variant: Weights to read, such as fp16; None for the weights as such.

    Raises:
        CheckpointError: When the weights are missing or damaged, or there is no such variant.
    """
    check_variant(variant, [files_in(folder)], WEIGHTS, source=str(folder))
    config = read_autoencoder_config(folder)
    path, tensors = read_weights(folder, WEIGHTS, variant=variant)
    return Checkpoint(config, tensors, path, autoencoder_keys(config.autoencoder))


def read_diffusers(folder: Path, *, variant: str | None = None) -> Checkpoint:
    """Read a pipeline's folder.

    Args:
        folder: The folder.
        variant: Weights to read, such as fp16, of the parts that have it; None for the weights as
            such.

    Raises:
        CheckpointError: When a part is missing or damaged, or none has the variant.
        ConfigError: When a part's configuration is not one that is supported here.
    """
    check_variant(variant, (files_in(folder / p) for p in PARTS), WEIGHTS, source=str(folder))
    config = read_pipeline_config(folder)
    tensors = {
        f"{part}/{name}": tensor
        for part in PARTS
        for name, tensor in read_weights(folder / part, WEIGHTS, variant=variant)[1].items()
    }
    text_encoder, tokenizer = folder / "text_encoder", folder / "tokenizer"
    return Checkpoint(
        config,
        tensors,
        folder,
        pipeline_keys(config),
        text_encoder if text_encoder.is_dir() else None,
        tokenizer if tokenizer.is_dir() else None,
    )

"""Models written in the layouts of stable-audio-tools and diffusers, for other programs to load."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.diffusers.config import pipeline_files
from stable_audio_open.checkpoint.folder import write_tensors, written_folder
from stable_audio_open.checkpoint.native import stored, stored_tensors, write_text_encoder
from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.config.conditioning import T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.read import model_part
from stable_audio_open.config.stable_audio_tools import T5_NAMES, to_stable_audio_tools

logger = logging.getLogger(__name__)


def save_stable_audio_tools(
    model: nn.Module,
    config: ModelConfig,
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write `model.safetensors` and `model_config.json` as stable-audio-tools reads them.

    A text encoder that was trained is part of the weights; one that was not is a download there,
    by the name in the configuration, of which it knows a few (another one is warned of). For this
    library `text_encoder/` and `tokenizer/` are written too.

    Args:
        model: An `AudioAutoencoder` or a `LatentDiffusion`.
        config: Its configuration.
        folder: Created where it does not exist; files of other names in it stay.
        dtype: Type to store the weights in, None for their own.

    Raises:
        ConfigError: When stable-audio-tools has no such model.
    """
    config = model_part(config)
    file = to_stable_audio_tools(config)
    tensors = stored_tensors(model, dtype=dtype)
    if isinstance(config, DiffusionModelConfig) and _text_encoder_is_trained(config):
        tensors |= {
            name: stored(name, tensor, dtype)
            for name, tensor in model.state_dict().items()
            if name.startswith(TEXT_ENCODER)
        }
    keys = sat.model_keys(config).select(tensors)
    with written_folder(folder) as scratch:
        (scratch / sat.CONFIG).write_text(json.dumps(file, indent=4) + "\n")
        write_tensors(
            _contiguous(keys.to_foreign(tensors)),
            scratch / sat.WEIGHTS[0],
            like=scratch / sat.CONFIG,
            metadata={"format": "pt"},
        )
        if isinstance(config, DiffusionModelConfig):
            write_text_encoder(
                model, scratch / "text_encoder", tokenizer_folder=scratch / "tokenizer", dtype=dtype
            )
    if isinstance(config, DiffusionModelConfig):
        _warn_of_unknown_text_encoder(config, folder)


def save_diffusers(
    model: nn.Module,
    config: ModelConfig,
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a pipeline that `diffusers.StableAudioPipeline.from_pretrained` loads.

    Args:
        model: A `LatentDiffusion`.
        config: Its configuration.
        folder: Created where it does not exist; files of other names in it stay.
        dtype: Type to store the weights in, None for their own.

    Raises:
        ConfigError: When diffusers has no such model.
    """
    config = model_part(config)
    if isinstance(config, AutoencoderModelConfig):
        raise ConfigError(f"{config.name}: is an autoencoder; a pipeline holds a whole model")
    text_conditioner = model.get_submodule(TEXT_ENCODER.removesuffix(".encoder."))
    encoder: Any = text_conditioner.encoder
    files = pipeline_files(config, text_width=encoder.config.d_model)
    keys = diffusers.pipeline_keys(config)
    tensors = stored_tensors(model, dtype=dtype)
    foreign = _contiguous(keys.select(tensors).to_foreign(tensors))
    classes = {
        "text_encoder": ["transformers", type(encoder).__name__],
        "tokenizer": ["transformers", type(text_conditioner.tokenizer).__name__],
    }
    with written_folder(folder) as scratch:
        for name, value in files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            value = value | classes if name == diffusers.INDEX else value
            path.write_text(json.dumps(value, indent=2) + "\n")
        for part in diffusers.PARTS:
            write_tensors(
                _below(foreign, f"{part}/"),
                scratch / part / diffusers.WEIGHTS[0],
                like=scratch / diffusers.INDEX,
                metadata={"format": "pt"},
            )
        write_text_encoder(
            model, scratch / "text_encoder", tokenizer_folder=scratch / "tokenizer", dtype=dtype
        )
        _limit_tokens(scratch / "tokenizer" / "tokenizer_config.json", config)


def _warn_of_unknown_text_encoder(
    config: DiffusionModelConfig, folder: str | os.PathLike[str]
) -> None:
    for text in config.conditioning.conditioners:
        if isinstance(text, T5Config) and text.model not in T5_NAMES:
            logger.warning(
                "%s: stable-audio-tools will not load this model, whose text encoder "
                "(t5_model_name) is %r; it knows %s; this library reads text_encoder/ and "
                "tokenizer/ there",
                os.fspath(folder),
                text.model,
                ", ".join(T5_NAMES),
            )


def _text_encoder_is_trained(config: DiffusionModelConfig) -> bool:
    return any(isinstance(c, T5Config) and c.trainable for c in config.conditioning.conditioners)


def _limit_tokens(path: Path, config: DiffusionModelConfig) -> None:
    """Tell the tokenizer how long prompts are: the pipeline pads to its limit."""
    [text] = [c for c in config.conditioning.conditioners if isinstance(c, T5Config)]
    settings: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"model_max_length": text.max_length}, indent=2) + "\n")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Parts of one tensor share its memory, which safetensors refuses.
    return {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }

"""The model and the inputs that all sides are given: files, written from a seed."""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from benchmarking.sizes import diffusion_config
from benchmarking.workers.side import PROMPT
from stable_audio_open.builders.model import TextEncoder, build_model, text_config
from stable_audio_open.builders.text_encoder import T5_SIZES
from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.latent_diffusion import LatentDiffusion

# Rows of the prompt that are not padding.
WORDS = 12
TEXT_BLOCKS = {"tiny": 1, "small": 4, "published": 12}
"""Blocks of the text encoder; its other numbers are those of the published size that is named."""


@dataclass(frozen=True)
class SharedModel:
    """One model, in the layouts that the sides read."""

    folder: Path
    config: DiffusionModelConfig
    parameters: dict[str, int]
    """Numbers in the weights of each part."""

    def write_inputs(self, frames: int, *, seed: int) -> Path:
        """Write inputs of a window of so many frames, and return the file."""
        path = self.folder / f"inputs_{frames}.safetensors"
        if not path.is_file():
            save_file(inputs(self.config, frames=frames, seed=seed), path)
        return path


def write_model(
    folder: Path,
    *,
    size: str,
    depth: int | None,
    frames: int | None,
    seed: int,
    diffusers: bool,
) -> SharedModel:
    """Write a model with random weights, the same for the same seed.

    `stable_audio_tools/` is the published layout, which the peer of that name and this package
    read; its text encoder is beside it under the name by which the peer downloads it.

    Args:
        folder: Where to.
        size: As in `sizes.SIZES`.
        depth: Blocks of the transformer, the size's own when None.
        frames: Latent frames of the window, the size's own when None.
        seed: Seed of the weights.
        diffusers: Write `diffusers/` too, a pipeline.
    """
    config = diffusion_config(size, depth=depth, frames=frames, seed=seed, shared=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _random_model(config, blocks=TEXT_BLOCKS[size])
    logger = logging.getLogger("stable_audio_open")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        save_stable_audio_tools(model, config, folder / "stable_audio_tools")
        if diffusers:
            save_diffusers(model, config, folder / "diffusers")
    finally:
        logger.setLevel(level)
    name = text_config(config).model
    shutil.copytree(folder / "stable_audio_tools" / "text_encoder", folder / name)
    _write_tokenizer(folder / name, length=text_config(config).max_length)
    for part in ("stable_audio_tools", "diffusers")[: 1 + diffusers]:
        _write_tokenizer(folder / part / "tokenizer", length=text_config(config).max_length)
    if diffusers:
        _name_tokenizer(folder / "diffusers" / "model_index.json")
    parts = {
        "text": model.conditioner,
        "step": model.transformer,
        "decode": model.autoencoder.decoder,
        "encode": model.autoencoder.encoder,
        "clip": model,
        "load": model,
        "train-transformer": model.transformer,
        "train-autoencoder": model.autoencoder,
    }
    parameters = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in parts.items()
    }
    return SharedModel(folder, config, parameters)


def inputs(config: DiffusionModelConfig, *, frames: int, seed: int) -> dict[str, Tensor]:
    """Return latents, conditioning, sound and a target, for a batch of one."""
    random = torch.Generator().manual_seed(seed)
    part, text = config.transformer, text_config(config)
    tokens = text.max_length + len(config.conditioning.cross_attention) - 1
    samples = frames * config.autoencoder.downsampling
    cross = torch.randn((1, tokens, part.context_width), generator=random)
    cross[:, WORDS : text.max_length] = 0
    latents = (1, part.latent_channels, frames)
    return {
        "latents": torch.randn(latents, generator=random),
        "cross": cross,
        "global": torch.randn((1, part.global_width), generator=random),
        "target": torch.randn(latents, generator=random),
        "audio": torch.randn((1, config.audio_channels, samples), generator=random) * 0.3,
    }


def _random_model(config: DiffusionModelConfig, *, blocks: int) -> LatentDiffusion:
    from transformers import T5Config, T5EncoderModel

    name = text_config(config).model
    # As published: v1.0 of T5, whose feed-forward layers are not gated.
    numbers = T5_SIZES[name] | {"num_layers": blocks}
    encoder = T5EncoderModel(T5Config(vocab_size=len(VOCABULARY), **numbers)).eval()
    tokenizer = _tokenizer()
    model = build_model(
        config,
        text_encoder=TextEncoder(tokenizer, encoder, encoder.config.d_model),
    )
    return _shake(model).eval()


@torch.no_grad()
def _shake(model: LatentDiffusion) -> LatentDiffusion:
    """Move what starts as all ones or zeros, so that no two tensors could be exchanged unseen."""
    parts: tuple[nn.Module, ...] = (model.autoencoder, model.transformer)
    for part in parts:
        for parameter in part.parameters():
            if parameter.numel() == max(parameter.shape):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif not parameter.any():
                parameter.add_(torch.randn_like(parameter), alpha=0.1 * parameter.shape[-1] ** -0.5)
    return model


TOKENIZER = "PreTrainedTokenizerFast"
VOCABULARY = ("<pad>", "</s>", "<unk>", *sorted(set(PROMPT.split())))


def _tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_words(), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def _words() -> Tokenizer:
    """Return a tokenizer that ends every text with `</s>`, as T5's does."""
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return tokenizer


def _write_tokenizer(folder: Path, *, length: int) -> None:
    """Write what older versions of transformers read too."""
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*token*"):
        file.unlink()
    _words().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": TOKENIZER,
        "model_max_length": length,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _name_tokenizer(index: Path) -> None:
    parts = json.loads(index.read_text())
    index.write_text(json.dumps(parts | {"tokenizer": ["transformers", TOKENIZER]}))

"""Models from wherever they are: bundled, on disk in several layouts, or on the hub."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stable_audio_open import generate as story
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import (
    TextEncoder,
    build_conditioner,
    build_transformer,
    text_config,
)
from stable_audio_open.builders.text_encoder import load_text_encoder
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.checkpoint.hub import download, is_hub_name
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.lora import merge_adapter, read_adapter
from stable_audio_open.checkpoint.native import TEXT_ENCODER_FOLDER
from stable_audio_open.checkpoint.precision import cast
from stable_audio_open.checkpoint.source import TEXT_ENCODER, Checkpoint
from stable_audio_open.checkpoint.strict import load_strictly
from stable_audio_open.checkpoint.tensors import TENSOR_SUFFIXES
from stable_audio_open.conditioning.text import TextConditioner, Tokenizer
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.nearest import did_you_mean
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.attention import check_backend
from stable_audio_open.nn.device import find_device

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}

TextEncoderSource = str | os.PathLike[str] | tuple[Tokenizer, nn.Module]


class StableAudio(LatentDiffusion):
    """Text to audio: the three parts of a trained system, and its configuration.

    Args:
        config: What the parts were built from.
        parts: What `LatentDiffusion` takes.
    """

    def __init__(self, *, config: DiffusionModelConfig, **parts: Any) -> None:
        super().__init__(**parts, window_samples=config.window_samples)
        self.config = config

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        text_encoder: TextEncoderSource | None = None,
        use_ema: bool = True,
        attention: str = "sdpa",
        lora: Sequence[tuple[str | os.PathLike[str], float]] = (),
    ) -> "StableAudio":
        """Load a whole model; the arguments are those of `load`.

        Raises:
            ValueError: When the source is an autoencoder alone, or for the reasons of `load`.
        """
        model = load(
            source,
            device=device,
            dtype=dtype,
            text_encoder=text_encoder,
            use_ema=use_ema,
            attention=attention,
            lora=lora,
        )
        if not isinstance(model, StableAudio):
            raise ValueError(
                f"{source} is an autoencoder alone; load it with stable_audio_open.load"
            )
        return model

    generate = story.generate


def load(
    source: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    text_encoder: TextEncoderSource | None = None,
    use_ema: bool = True,
    attention: str = "sdpa",
    lora: Sequence[tuple[str | os.PathLike[str], float]] = (),
) -> StableAudio | AudioAutoencoder:
    """Load a trained model, in evaluation mode.

    Args:
        source: `"tiny"` (bundled), a folder or file, or a hub name such as
            `stabilityai/stable-audio-open-1.0`. Native, stable-audio-tools and diffusers layouts
            are told apart by their files; a lone autoencoder gives an `AudioAutoencoder`.
        device: Where to; a CUDA device if there is one, else the CPU.
        dtype: Type of the weights, float32 unless said otherwise. Frequencies stay at least in
            float32, and the text encoder in the type it comes in (float32 when loaded here).
        text_encoder: A folder or hub name of a T5 encoder with its tokenizer, or the pair
            (tokenizer, encoder) itself; by default the one that came with the weights, else the
            one that the configuration names.
        use_ema: Take the averaged weights of a training checkpoint where it has any.
        attention: `"sdpa"` (PyTorch's fused attention), `"flash"` (the flash-attn package where
            the tensors allow it) or `"math"` (the formula written out, as a reference).
        lora: Adapters of the transformer to merge: folders in peft's format, each with a weight
            (1 for its full effect).

    Raises:
        ValueError: One line with the fault and the remedy: an unknown source, device or type, a
            damaged file, weights that do not fit the configuration, no text encoder.
    """
    device, dtype, backend = find_device(device), _dtype(dtype), check_backend(attention)
    path = _locate(source, text_encoder=text_encoder is None)
    checkpoint = read_checkpoint(path, use_ema=use_ema)
    config = checkpoint.config
    model: StableAudio | AudioAutoencoder
    if isinstance(config, AutoencoderModelConfig):
        with torch.device("meta"):
            model = build_autoencoder(config)
        encoder = None
    else:
        text = _text_encoder(text_encoder, checkpoint, config)
        encoder = text.encoder
        with torch.device("meta"):
            model = StableAudio(
                config=config,
                autoencoder=build_autoencoder(config),
                conditioner=build_conditioner(config.conditioning, text_encoder=text),
                transformer=build_transformer(config.transformer),
            )
    load_strictly(
        model,
        checkpoint.tensors,
        source=str(checkpoint.path),
        keys=checkpoint.keys,
        optional=TEXT_ENCODER,
    )
    adapters = [(read_adapter(folder), weight) for folder, weight in lora]
    if adapters and not isinstance(model, StableAudio):
        raise ValueError(f"{source} is an autoencoder alone; adapters are for a whole model")
    if isinstance(model, StableAudio):
        for adapter, weight in adapters:
            merge_adapter(model.transformer, adapter, weight=weight)
    cast(model, dtype, besides=encoder)
    if isinstance(model, StableAudio):
        model.transformer.set_backend(backend)
    return model.to(device).eval()


def place(
    model: LatentDiffusion,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attention: str = "sdpa",
) -> LatentDiffusion:
    """Bring a model that was built here to device, type and attention as `load` does.

    The text encoder stays in the type it has.

    Raises:
        ValueError: An unknown or missing device, type or backend.
    """
    where, kind, backend = find_device(device), _dtype(dtype), check_backend(attention)
    (text,) = model.conditioner.texts.values()
    assert isinstance(text, TextConditioner)
    cast(model, kind, besides=text.encoder)
    model.transformer.set_backend(backend)
    return model.to(where).eval()


def _locate(source: str | os.PathLike[str], *, text_encoder: bool) -> Path:
    """Return the file or folder that a source stands for."""
    name = os.fspath(source)
    if name in BUNDLED:
        return BUNDLED[name]
    path = Path(name)
    if path.exists():
        return path
    if isinstance(source, str) and is_hub_name(name) and path.suffix not in TENSOR_SUFFIXES:
        return download(name, text_encoder=text_encoder)
    raise ValueError(
        f"no model {name!r}; allowed: {', '.join(map(repr, BUNDLED))} (bundled), a folder or file "
        f"that exists, or a hub name such as 'stabilityai/stable-audio-open-1.0'"
        f"{did_you_mean(name, BUNDLED)}"
    )


def _text_encoder(
    given: TextEncoderSource | None, checkpoint: Checkpoint, config: DiffusionModelConfig
) -> TextEncoder:
    if isinstance(given, tuple):
        tokenizer, encoder = given
        return TextEncoder(tokenizer, encoder, encoder.config.d_model)  # type: ignore[union-attr,arg-type]
    if given is not None:
        return load_text_encoder(os.fspath(given))
    if checkpoint.text_encoder is not None:
        return load_text_encoder(checkpoint.text_encoder, tokenizer=checkpoint.tokenizer)
    name = text_config(config).model
    beside = checkpoint.path.parent / name
    if name == TEXT_ENCODER_FOLDER and not beside.is_dir():
        raise ValueError(
            f"{checkpoint.path}: found no folder {name!r} beside it; pass text_encoder= a "
            "folder or hub name of the T5 encoder that it was trained with"
        )
    return load_text_encoder(beside if beside.is_dir() else name)


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise ValueError(f"unknown dtype {str(dtype)!r}; choose from {', '.join(DTYPES)}")
    return chosen

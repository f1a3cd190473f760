"""The card of a model: what it is, how it is used, what it was trained on, how good it is."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stable_audio_open.arguments.checks import check_name, check_path, is_list, wrong_type
from stable_audio_open.checkpoint.hub.measurements import read_measurements
from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.conditions import SECONDS
from stable_audio_open.config.conditioning import NumberConfig
from stable_audio_open.config.model import DiffusionModelConfig, ModelConfig
from stable_audio_open.pages.rendering import render
from stable_audio_open.version import VERSION

LIBRARY = "stable-audio-open"
OBJECTIVES = {
    "v": "v of the paper's cosine process",
    "rectified_flow": "velocity of a rectified flow",
    "rf_denoiser": "velocity of a rectified flow, for few steps",
}
EXAMPLE = 10.0
"""Seconds of the sound in the card's code, where the window is as long."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model's card says beside what is known of the model itself.

    Args:
        license: The hub's name of the licence, such as `cc0-1.0`; None says nothing.
        description: What the model is for, in Markdown.
        data: What it was trained on, in Markdown.
        datasets: Names on the hub of what it was trained on.
        base_model: Name on the hub of the model that it was trained on from.
        measurements: JSON files that `evaluate` wrote, or folders of them.
        tags: More words to find it by.
    """

    license: str | None = None
    description: str = ""
    data: str = ""
    datasets: Sequence[str] = ()
    base_model: str | None = None
    measurements: Sequence[str | os.PathLike[str]] = ()
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the types."""
        for name in ("description", "data"):
            if not isinstance(value := getattr(self, name), str):
                raise wrong_type(value, name, "a text")
        for name in ("license", "base_model"):
            if (value := getattr(self, name)) is not None:
                check_name(value, name)
        for name, check in (
            ("datasets", check_name),
            ("tags", check_name),
            ("measurements", check_path),
        ):
            values = getattr(self, name)
            if not is_list(values):
                raise wrong_type(values, name, "a list")
            for value in values:
                check(value, name)


def model_card(
    card: ModelCard,
    model: nn.Module,
    config: ModelConfig,
    *,
    source: str,
    dtype: torch.dtype | None = None,
    variant: str | None = None,
) -> str:
    """Return the text of a card, with the head that the hub reads.

    Args:
        card: What is said beside what is known.
        model: The model, as it is or will be stored.
        config: Its configuration.
        source: What it is loaded from: a name on the hub, or a folder.
        dtype: Type that it is stored in, None for its own.
        variant: Variant that it is stored as.

    Raises:
        CheckpointError: Measurements are missing, or are none.
    """
    return render(
        "model_card.md.jinja",
        head=_head(card, config),
        title=config.name,
        about=card.description.strip(),
        facts=list(_facts(model, config, dtype)),
        code=_code(config, source, variant),
        data=card.data.strip(),
        measured=read_measurements([Path(path) for path in card.measurements]),
        version=VERSION,
    )


def _head(card: ModelCard, config: ModelConfig) -> str:
    """Return what the hub reads of a card: YAML between two lines."""
    from huggingface_hub import ModelCardData

    whole = isinstance(config, DiffusionModelConfig)
    kinds = ["latent-diffusion" if whole else "autoencoder"]
    if isinstance(config, DiffusionModelConfig) and config.objective != "v":
        kinds.append("rectified-flow")
    data = ModelCardData(
        license=card.license,
        library_name=LIBRARY,
        pipeline_tag="text-to-audio" if whole else "audio-to-audio",
        tags=["audio", *kinds, *card.tags],
        datasets=list(card.datasets) or None,
        base_model=card.base_model,
    )
    return f"---\n{data.to_yaml()}\n---"


def _facts(
    model: nn.Module, config: ModelConfig, dtype: torch.dtype | None
) -> Iterator[tuple[str, str]]:
    """Yield what the model is, in names and words."""
    tensors = {tensor.data_ptr(): (name, tensor) for name, tensor in model.state_dict().items()}

    def numbers(prefix: str) -> str:
        parts = [part.numel() for name, part in tensors.values() if name.startswith(prefix)]
        return f"{sum(parts) / 1e6:,.1f} M numbers"

    channels = {1: "mono", 2: "stereo"}.get(
        config.audio_channels, f"{config.audio_channels} channels"
    )
    sound = f"{config.sample_rate / 1000:g} kHz, {channels}"
    latents = (
        f"{config.autoencoder.downsampling:,} samples per latent, "
        f"{config.autoencoder.latent_channels} channels"
    )
    if isinstance(config, DiffusionModelConfig):
        yield "sound", f"{sound}, up to {config.window_samples / config.sample_rate:.2f} s at once"
        yield "autoencoder", f"{numbers('autoencoder.')}, {latents}"
        sizes = config.transformer
        yield (
            "transformer",
            f"{numbers('transformer.')}, {sizes.depth} blocks of width {sizes.width}"
            + (", with channels for inpainting" if sizes.inpainting else ""),
        )
        encoder: Any = model.get_submodule(TEXT_ENCODER.rstrip(".")).config
        layers = "1 layer" if encoder.num_layers == 1 else f"{encoder.num_layers} layers"
        yield (
            "text encoder",
            f"T5, {numbers(TEXT_ENCODER)}, {layers} of width {encoder.d_model}",
        )
        yield "conditioned on", ", ".join(part.id for part in config.conditioning.conditioners)
        yield "predicts", OBJECTIVES[config.objective]
    else:
        yield "sound", sound
        yield "autoencoder", f"{numbers('')}, {latents}"
    floating = [part for _, part in tensors.values() if part.is_floating_point()]
    kinds = {dtype} if dtype else {part.dtype for part in floating}
    size = sum(part.numel() * (dtype or part.dtype).itemsize for part in floating)
    names = sorted(str(kind).removeprefix("torch.") for kind in kinds)
    yield "stored", f"{' and '.join(names)}, {size / 1e6:,.1f} MB"


def _code(config: ModelConfig, source: str, variant: str | None) -> str:
    """Return lines of Python that use the model."""
    chosen = "" if variant is None else f", variant={json.dumps(variant)}"
    given = f"{json.dumps(source)}{chosen}"
    if not isinstance(config, DiffusionModelConfig):
        return (
            "from stable_audio_open import Audio, AudioAutoencoder\n\n"
            f"autoencoder = AudioAutoencoder.from_pretrained({given})\n"
            'latents = autoencoder.encode(Audio.load("sound.wav").samples)'
        )
    window = config.window_samples / config.sample_rate
    seconds = min(EXAMPLE, int(window * 10) / 10 or window)
    numbers = {
        part.id: (part.min + part.max) / 2
        for part in config.conditioning.conditioners
        if isinstance(part, NumberConfig) and part.id not in SECONDS
    }
    conditions = f", conditions={json.dumps(numbers)}" if numbers else ""
    return (
        "from stable_audio_open import StableAudio\n\n"
        f"model = StableAudio.from_pretrained({given})\n"
        f'audio = model.generate("deep kick drum", duration={seconds:g}{conditions})\n'
        'audio.save("sound.wav")'
    )

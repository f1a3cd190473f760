"""The sizes to measure at: the shipped configurations, whole or scaled down."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_audio_open.builders.text_encoder import T5_SIZES
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import read_config

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Size:
    """A shipped configuration, and what is changed in it."""

    folder: str
    text_encoder: Mapping[str, Any]
    """Of transformers' `T5Config`; only training uses it."""
    autoencoder: tuple[str, ...] = ()
    """Overrides of both files of the folder."""
    diffusion: tuple[str, ...] = ()
    """Overrides of `diffusion.json` alone."""
    adversarial: str = "autoencoder.json"
    """The file that trains the autoencoder against discriminators."""
    discriminators: tuple[str, ...] = ()
    """Overrides of that file alone."""
    shared: tuple[str, ...] = ()
    """Overrides of what the peers have too: they know no other text encoders than the published,
    no encoder whose first layer has other than twice the latents' channels, and no heads of fewer
    than 64 features."""


def _text(model: str, width: int, *, max_length: int) -> tuple[str, ...]:
    """Return overrides that condition on an encoder of a published name."""
    text = {"type": "t5", "id": "prompt", "model": model, "max_length": max_length}
    seconds = [
        {"type": "number", "id": f"seconds_{end}", "min": 0, "max": 512}
        for end in ("start", "total")
    ]
    conditioners = json.dumps([text, *seconds])
    return f"conditioning.width={width}", f"conditioning.conditioners={conditioners}"


SIZES = {
    "tiny": Size(
        "tiny",
        text_encoder={"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 1, "num_heads": 4},
        # diffusers' autoencoder does not scale its latents.
        autoencoder=("autoencoder.scale=1",),
        adversarial="autoencoder_adversarial.json",
        shared=(
            *_text("t5-small", 512, max_length=24),
            "autoencoder.latent_channels=8",
            "transformer.latent_channels=8",
            "transformer.width=512",
            "transformer.heads=8",
            "transformer.context_width=512",
            "transformer.global_width=1024",
        ),
    ),
    "small": Size(
        "stable_audio_open_1_0",
        text_encoder={"d_model": 256, "d_ff": 1024, "num_layers": 4, "num_heads": 4},
        autoencoder=("autoencoder.encoder.channels=32", "autoencoder.decoder.channels=32"),
        diffusion=(
            "conditioning.width=256",
            "transformer.width=512",
            "transformer.depth=8",
            "transformer.heads=8",
            "transformer.context_width=256",
            "transformer.global_width=512",
        ),
        discriminators=("training.adversarial.filters=16",),
        shared=(
            *_text("t5-small", 512, max_length=128),
            "autoencoder.latent_channels=16",
            "transformer.latent_channels=16",
            "transformer.context_width=512",
            "transformer.global_width=1024",
        ),
    ),
    "published": Size("stable_audio_open_1_0", text_encoder=T5_SIZES["t5-base"]),
}


def diffusion_config(
    size: str,
    *,
    depth: int | None = None,
    frames: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    shared: bool = False,
) -> DiffusionModelConfig:
    """Return the whole model's configuration.

    Args:
        size: One of `SIZES`.
        depth: Blocks of the transformer, the size's own when None.
        frames: Latent frames of the window, the size's own when None.
        batch: Items of a training batch, the configuration's own when None.
        seed: Of training.
        shared: Change what the peers do not have.
    """
    chosen = SIZES[size]
    path = CONFIGS / chosen.folder / "diffusion.json"
    overrides = [*chosen.autoencoder, *chosen.diffusion, f"training.seed={seed}"]
    overrides += chosen.shared if shared else ()
    if depth is not None:
        overrides.append(f"transformer.depth={depth}")
    if batch is not None:
        overrides.append(f"training.batch_size={batch}")
    config = read_config(path, overrides)
    if frames is not None:
        overrides.append(f"window_samples={frames * config.autoencoder.downsampling}")
        config = read_config(path, overrides)
    assert isinstance(config, DiffusionModelConfig)
    return config


def autoencoder_config(
    size: str, *, crop_frames: int | None = None, batch: int | None = None, seed: int = 0
) -> AutoencoderModelConfig:
    """Return the configuration that the autoencoder is trained with, against discriminators.

    Args:
        size: One of `SIZES`.
        crop_frames: Latent frames of a training crop, the configuration's own when None.
        batch: Items of a training batch, the configuration's own when None.
        seed: Of training.

    Raises:
        ConfigError: When a crop is shorter than the longest window of the loss.
    """
    chosen = SIZES[size]
    path = CONFIGS / chosen.folder / chosen.adversarial
    overrides = [*chosen.autoencoder, *chosen.discriminators, f"training.seed={seed}"]
    overrides.append("training.initialize=null")
    if batch is not None:
        overrides.append(f"training.batch_size={batch}")
    config = read_config(path, overrides)
    if crop_frames is not None:
        samples = crop_frames * config.autoencoder.downsampling
        config = read_config(path, [*overrides, f"training.crop_samples={samples}"])
    assert isinstance(config, AutoencoderModelConfig)
    return config

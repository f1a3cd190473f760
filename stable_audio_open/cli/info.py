"""`stable-audio-open info`: the size of a model, without its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo, printable

if TYPE_CHECKING:
    from torch import nn

    from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
    from stable_audio_open.config.model import DiffusionModelConfig, ModelConfig


class Part(NamedTuple):
    """What a part of a model stores."""

    tensors: int
    """Parameters and buffers, each of any size."""
    parameters: int
    """Numbers in its parameters."""
    buffers: int
    """Numbers in its buffers."""
    total: int
    """Both together, as the published totals are counted."""


def info(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG_OR_MODEL",
            help='A configuration (.json), a checkpoint (folder or file), or "tiny".',
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    text_encoder: options.TextEncoder = None,
) -> None:
    """Print tensors, parameters and buffers by part; nothing is allocated and no weight is read."""
    import json

    config, encoder = _describe(source)
    facts, parts = _measure(config, text_encoder or encoder)
    if as_json:
        echo(
            json.dumps(
                facts | {"parts": {name: part._asdict() for name, part in parts.items()}}, indent=2
            )
        )
    else:
        _print_table(facts, parts)


def _describe(source: str) -> "tuple[ModelConfig, str | None]":
    """Return a configuration, and where the text encoder is that came with it."""
    from stable_audio_open.config.read import read_config

    path = Path(source)
    if path.suffix == ".json":
        config = read_config(path, for_training=False)
        return config, _encoder_beside(config, path.parent)

    from stable_audio_open.checkpoint.bundled import BUNDLED, checkpoint_path
    from stable_audio_open.checkpoint.layouts import read_checkpoint

    path = checkpoint_path(source)
    if not path.exists():
        raise ValueError(
            f"{source!r} is neither a file nor a folder; give a configuration, a checkpoint or "
            f"{', '.join(BUNDLED)}"
        )
    checkpoint = read_checkpoint(path)
    if checkpoint.text_encoder is not None:
        return checkpoint.config, str(checkpoint.text_encoder)
    return checkpoint.config, _encoder_beside(checkpoint.config, checkpoint.path.parent)


def _encoder_beside(config: "ModelConfig", folder: Path) -> str | None:
    """Return the text encoder's folder where the configuration means one beside it."""
    from stable_audio_open.builders.model import text_config
    from stable_audio_open.config.model import DiffusionModelConfig

    if not isinstance(config, DiffusionModelConfig):
        return None
    encoder = folder / text_config(config).model
    return str(encoder) if encoder.is_dir() else None


def _measure(
    config: "ModelConfig", text_encoder: str | None
) -> tuple[dict[str, Any], dict[str, Part]]:
    import torch

    from stable_audio_open.builders.autoencoder import build_autoencoder
    from stable_audio_open.config.model import DiffusionModelConfig

    hop = config.autoencoder.downsampling
    facts: dict[str, Any] = {
        "name": config.name,
        "type": config.__struct_config__.tag,
        "sample_rate": config.sample_rate,
        "audio_channels": config.audio_channels,
        "latent_channels": config.autoencoder.latent_channels,
        "downsampling": hop,
        "latents_per_second": config.sample_rate / hop,
    }
    with torch.device("meta"):
        autoencoder = build_autoencoder(config)
    facts |= {
        "encoder_margin": autoencoder.encoder_margin,
        "decoder_margin": autoencoder.decoder_margin,
    }
    parts = _autoencoder_parts(autoencoder)
    if isinstance(config, DiffusionModelConfig):
        facts |= {
            "window_samples": config.window_samples,
            "window_latents": config.window_samples // hop,
            "window_seconds": config.window_samples / config.sample_rate,
            "objective": config.objective,
            "conditions": [part.id for part in config.conditioning.conditioners],
        }
        parts |= _diffusion_parts(config, text_encoder)
    return facts, parts


def _autoencoder_parts(autoencoder: "AudioAutoencoder") -> dict[str, Part]:
    return {
        "autoencoder": _count(autoencoder),
        "encoder": _count(autoencoder.encoder),
        "decoder": _count(autoencoder.decoder),
    }


def _diffusion_parts(config: "DiffusionModelConfig", text_encoder: str | None) -> dict[str, Part]:
    import torch

    from stable_audio_open.builders.model import build_conditioner, build_transformer, text_config
    from stable_audio_open.builders.text_encoder import text_encoder_skeleton

    skeleton = text_encoder_skeleton(text_encoder or text_config(config).model)
    with torch.device("meta"):
        transformer = build_transformer(config.transformer)
        conditioner = build_conditioner(config.conditioning, text_encoder=skeleton)
    return {
        "transformer": _count(transformer),
        "conditioner": _count(conditioner, besides=skeleton.encoder),
        "text_encoder": _count(skeleton.encoder),
    }


def _count(module: "nn.Module", *, besides: "nn.Module | None" = None) -> Part:
    """Count what is stored, tied tensors once."""
    from torch import nn

    tensors = {id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}
    if besides is not None:
        for tensor in besides.state_dict(keep_vars=True).values():
            tensors.pop(id(tensor), None)
    total = sum(tensor.numel() for tensor in tensors.values())
    parameters = sum(t.numel() for t in tensors.values() if isinstance(t, nn.Parameter))
    return Part(len(tensors), parameters, total - parameters, total)


def _print_table(facts: dict[str, Any], parts: dict[str, Part]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    margins = f"{facts['encoder_margin']} encoding, {facts['decoder_margin']} decoding"
    lines = {
        "sound": f"{facts['sample_rate']} Hz, {facts['audio_channels']} channels",
        "latents": f"{facts['latent_channels']} channels, {facts['latents_per_second']:.2f} per "
        f"second (one for {facts['downsampling']} samples)",
        "reach": f"{margins} (latents on either side that chunks overlap)",
    }
    if "window_seconds" in facts:
        lines["window"] = (
            f"{facts['window_seconds']:.2f} s = {facts['window_latents']} latents = "
            f"{facts['window_samples']} samples"
        )
        lines["model"] = f"{facts['objective']}, conditioned on {', '.join(facts['conditions'])}"
    title = Text(printable(f"{facts['name']} ({facts['type']})"))
    table = Table("part", title=title, title_justify="left")
    for column in Part._fields:
        table.add_column(column, justify="right")
    for name, part in parts.items():
        indent = "  " if name in ("encoder", "decoder") else ""
        table.add_row(indent + name.replace("_", " "), *(f"{count:,}" for count in part))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for name, text in lines.items():
        console.print(printable(f"{name:8}{text}"), markup=False)

"""`stable-audio-open export`: a checkpoint of any layout as a folder of another."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A folder or file that can be loaded.")
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option(help="Number format of the stored weights."),
    ] = "float32",
    to: Annotated[
        Literal["native", "stable-audio-tools", "diffusers", "lora"],
        typer.Option(help="Layout to write; `lora` is the adapter alone, in peft's format."),
    ] = "native",
    online: Annotated[
        bool,
        typer.Option("--online/--ema", help="Take the trained weights, or their average."),
    ] = False,
    decoder: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Take the decoder of this autoencoder, whose encoder must be the same.",
        ),
    ] = None,
    text_encoder: options.TextEncoder = None,
) -> None:
    """Write a model as a folder that `--model` takes, or as other programs read it."""
    from stable_audio_open.audio.writing.places import check_folder
    from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
    from stable_audio_open.autoencoder.second_phase import take_decoder
    from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
    from stable_audio_open.checkpoint.lora.adapter import read_trained_adapter, save_adapter
    from stable_audio_open.checkpoint.native import save_native
    from stable_audio_open.checkpoint.precision import DTYPES
    from stable_audio_open.pretrained import load

    check_folder(output)
    if to == "lora":
        if decoder is not None:
            raise ValueError("an adapter has no decoder; leave out --decoder, or --to lora")
        save_adapter(read_trained_adapter(Path(checkpoint), use_ema=not online), output)
        echo(f"{output}: the adapter of {checkpoint}")
        return
    loaded = load(checkpoint, device="cpu", text_encoder=text_encoder, use_ema=not online)
    if decoder is not None:
        trained = load(decoder, device="cpu", text_encoder=text_encoder, use_ema=not online)
        take_decoder(
            loaded if isinstance(loaded, AudioAutoencoder) else loaded.autoencoder,
            trained if isinstance(trained, AudioAutoencoder) else trained.autoencoder,
        )
    save = {
        "native": save_native,
        "stable-audio-tools": save_stable_audio_tools,
        "diffusers": save_diffusers,
    }[to]
    save(loaded, loaded.config, output, dtype=DTYPES[dtype])
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    echo(f"{output}: {size / 1e6:.1f} MB")

"""`stable-audio-open export`: a checkpoint of any layout as a folder of another, or on the hub."""

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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/MODEL",
            help="Repository on the Hugging Face hub to send it to instead, with a card.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            help="Number format of the stored weights.",
            show_default="float32, or what the variant says",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="fp16|bf16|fp32|NAME",
            help="Write model.fp16.safetensors, beside what else is there.",
        ),
    ] = None,
    max_shard_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most bytes of weights in a file, such as 5GB; more are split into several.",
        ),
    ] = None,
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
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="NAME", help="Card: licence, such as cc0-1.0."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Card: what it was trained on.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(metavar="JSON|DIR", help="Card: what `evaluate` wrote; may be given again."),
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who sees a new repository.",
            show_default="the owner's setting",
        ),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Branch of the repository.", show_default="the main one"),
    ] = None,
) -> None:
    """Write a model as a folder that `--model` takes, or as other programs read it."""
    from stable_audio_open.checkpoint.hub.card import ModelCard
    from stable_audio_open.jobs.export import ExportRequest
    from stable_audio_open.jobs.export import export as write

    card = None
    if licence is not None or data is not None or measured:
        card = ModelCard(license=licence, data=data or "", measurements=measured or ())
    done = write(
        ExportRequest(
            checkpoint=checkpoint,
            output=output,
            push=push,
            to=to,
            dtype=dtype,
            variant=variant,
            max_shard_size=max_shard_size,
            use_ema=not online,
            decoder=decoder,
            text_encoder=text_encoder,
            card=card,
            private=private,
            branch=branch,
        )
    )
    if to == "lora":
        echo(f"{done.place}: the adapter of {checkpoint}")
    elif done.size is None:
        echo(done.place)
    else:
        echo(f"{done.place}: {done.size / 1e6:.1f} MB")

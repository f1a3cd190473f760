"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Model = Annotated[
    str,
    typer.Option(help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'),
]
Variant = Annotated[
    str | None,
    typer.Option(
        metavar="fp16|bf16|NAME",
        help="Weights to read of a folder or hub name that has several, such as fp16.",
        show_default="the weights as such",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        metavar="BRANCH|TAG|COMMIT",
        help="Which version of a hub name to load.",
        show_default="its main branch",
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|NAME",
        help="T5 encoder with its tokenizer, instead of the one that the model brings or names.",
    ),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER[:WEIGHT]",
        help="Adapter in peft's format to merge, and how much of it (1); may be given again.",
    ),
]
LimitedLora = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER[:WEIGHT][:sigma=LOW..HIGH][:layers=0-3,PATTERN]",
        help="Adapter in peft's format, and how much of it (1); between noise levels alone, or in "
        "some blocks or layers, such as *.cross_attention.*; may be given again.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where to compute.",
        show_default="a GPU if there is one",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="auto|float32|bfloat16|float16|PART=FORMAT,...",
        help="Number format of the weights; transformer, autoencoder and text_encoder may differ.",
        show_default="auto: bfloat16 where it is fast, float32 for the autoencoder",
    ),
]
MeasuredDtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="auto|float32|bfloat16|float16|PART=FORMAT,...",
        help="Number format of the weights; `auto` is what is fast here.",
    ),
]
Attention = Annotated[
    Literal["sdpa", "flash", "math"],
    typer.Option(help="PyTorch's fused attention, the flash-attn package, or the plain formula."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads.", show_default="one per core"),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE|DIR", help="A .wav, .flac, .ogg or .mp3 file; a folder."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist; else a number is appended."),
]
Subtype = Annotated[
    Literal["pcm16", "pcm24", "float"],
    typer.Option(help="Samples of WAV and FLAC files; float is for WAV only."),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        help="How closely to follow the prompt; 1 switches guidance off.",
        show_default="the model's: 7.0, 4.0 of flows, 1.0 of those for few steps",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Sampling steps.", show_default="the model's: 100, 50 of flows, 8 of those for few"
    ),
]
Guidance = Annotated[float | None, typer.Option("--guidance", hidden=True)]
Recording = Annotated[Path, typer.Argument(metavar="FILE", help="WAV, FLAC, Ogg, MP3 or AIFF.")]


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads, None for PyTorch's choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)

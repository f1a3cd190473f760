"""Options that several commands share."""

import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

Model = Annotated[
    str,
    typer.Option(help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'),
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
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|cuda|cuda:N|mps",
        help="Where to compute.",
        show_default="a GPU if there is one",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="float32|bfloat16|float16|float64",
        help="Number format of the weights.",
        show_default="float32",
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
Subtype = Annotated[
    Literal["pcm16", "pcm24", "float"],
    typer.Option(help="Samples of WAV and FLAC files; float is for WAV only."),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist; else a number is appended."),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help='Names of files in a folder, such as "{index:03d}_{prompt}_{seed}.flac".',
        show_default="{prompt}_{seed}.wav",
    ),
]
Tags = Annotated[
    bool,
    typer.Option("--tags/--no-tags", help="Write into each file how it was made."),
]
TrimSilence = Annotated[
    bool, typer.Option("--trim-silence", help="Cut off what is below -60 dB before and after it.")
]
SampleRate = Annotated[
    int | None,
    typer.Option(help="Samples per second of the file.", show_default="the model's"),
]
Channels = Annotated[
    int | None, typer.Option(help="1 or 2, of the file.", show_default="the model's")
]
Fade = Annotated[
    float | None,
    typer.Option(
        help="Seconds of fade-out at the end; 0 is none.", show_default="0.005 where it is cut"
    ),
]
Loudness = Annotated[
    float | None,
    typer.Option(help="Loudness in LUFS, such as -16; the true peak stays below -1 dB."),
]
Peak = Annotated[float | None, typer.Option(help="Highest sample in dB of full scale, such as -1.")]
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
Samples = Annotated[
    int | None, typer.Option(help="Length in samples, instead of --duration.", show_default="none")
]
Loop = Annotated[
    bool, typer.Option("--loop", help="Make a sound that can be repeated without a seam.")
]
Bars = Annotated[
    float | None,
    typer.Option(help="Length of a loop in bars of four beats; needs --bpm.", show_default="none"),
]
Bpm = Annotated[
    float | None,
    typer.Option(
        help="Beats per minute of these bars, which are added to the prompt.", show_default="none"
    ),
]
PromptAt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SECONDS:PROMPT",
        help="Another prompt from there on, such as 30:storm; may be given again.",
    ),
]
Guidance = Annotated[float | None, typer.Option("--guidance", hidden=True)]
Recording = Annotated[Path, typer.Argument(metavar="FILE", help="WAV, FLAC, Ogg, MP3 or AIFF.")]

Value = TypeVar("Value", str, float)


def either(name: str, value: Value | None, old_name: str, old_value: Value | None) -> Value | None:
    """Return the value of an option that has a second name, None where neither is given.

    Args:
        name: The option.
        value: What it was given, if anything.
        old_name: Its name in earlier versions, which is hidden.
        old_value: What was given by that name, if anything.

    Raises:
        ValueError: The two differ.
    """
    if value is not None and old_value is not None and value != old_value:
        raise ValueError(
            f"{name} {value} and {old_name} {old_value} are two names of one option; "
            f"give {name} alone"
        )
    return old_value if value is None else value


def guidance_scale(scale: float | None, guidance: float | None) -> float | None:
    """Return the guidance scale by `--guidance-scale` or `--guidance`, None for the model's.

    Raises:
        ValueError: The two differ.
    """
    return either("--guidance-scale", scale, "--guidance", guidance)


def conditions(values: list[str] | None) -> dict[str, float] | None:
    """Split NAME=NUMBER.

    Raises:
        ValueError: A value is none, or a name is given twice.
    """
    found: dict[str, float] = {}
    for value in values or ():
        name, equals, number = value.partition("=")
        try:
            if not (name and equals):
                raise ValueError
            given = float(number)
        except ValueError as error:
            raise ValueError(
                f"--condition {value}: give a name and a number, such as bpm=120"
            ) from error
        if name in found:
            raise ValueError(f"--condition {value}: {name} is given twice")
        found[name] = given
    return found or None


def adapters(values: list[str] | None) -> list[tuple[str, float]]:
    """Split FOLDER[:WEIGHT].

    Raises:
        ValueError: A weight is not finite.
    """
    pairs = []
    for value in values or ():
        folder, colon, weight = value.rpartition(":")
        try:
            pair = (folder, float(weight)) if colon else (value, 1.0)
        except ValueError:
            pair = (value, 1.0)  # a colon of the folder's name
        if not math.isfinite(pair[1]):
            raise ValueError(f"--lora {value}: the weight must be a finite number, such as 0.5")
        pairs.append(pair)
    return pairs


def changes(values: list[str] | None) -> list[tuple[float, str]]:
    """Split SECONDS:PROMPT.

    Raises:
        ValueError: There is no number in front of a colon.
    """
    pairs = []
    for value in values or ():
        seconds, _, prompt = value.partition(":")
        try:
            pairs.append((float(seconds), prompt))
        except ValueError as error:
            raise ValueError(
                f"--prompt-at {value!r}: give the second at which the prompt begins, a colon and "
                "the prompt, such as 30:storm"
            ) from error
    return pairs


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads, None for PyTorch's choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)

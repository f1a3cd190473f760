"""The taggers by the names that commands know them by, and options that need one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from stable_audio_open.audio_models.tagger import Tagger

AudioFolder = Annotated[
    Path, typer.Option("--audio", metavar="FOLDER", help="Folder of the recordings.")
]
TaggerName = Annotated[
    str,
    typer.Option(
        "--tagger",
        metavar="panns:PATH|musicnn[:WEIGHTS]",
        help="PANNs' Cnn14_DecisionLevelMax checkpoint (the paper's tagger), or the weights of the "
        "package musicnn (MTT_musicnn, MSD_musicnn).",
    ),
]
Seconds = Annotated[float, typer.Option(help="Music for so long goes to review.")]
CountingName = Annotated[
    Literal["total", "contiguous"],
    typer.Option(help="Seconds in all, or the longest stretch."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="NAME",
        help="Class that tells music; may be given again.",
        show_default="the tagger's general ones",
    ),
]


def make_tagger(name: str, device: str | None) -> "Tagger":
    """Return a tagger by its name on the command line.

    Raises:
        ValueError: There is no such tagger, or its weights are missing.
    """
    kind, _, weights = name.partition(":")
    if kind == "panns" and weights:
        from stable_audio_open.audio_models.panns.checkpoint import load_panns

        return load_panns(weights, device=device or "cpu")
    if kind == "musicnn":
        from stable_audio_open.audio_models.musicnn.network import load_musicnn

        return load_musicnn(weights or "MTT_musicnn", device=device or "cpu")
    raise ValueError(f"no tagger {name!r}; allowed: panns:PATH, musicnn, musicnn:WEIGHTS")

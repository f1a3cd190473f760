"""Options of the commands that need a tagger."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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

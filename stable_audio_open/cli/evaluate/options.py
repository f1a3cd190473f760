"""Options that several of these commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'
    ),
]
Prompts = Annotated[
    Path,
    typer.Option(
        metavar="CSV",
        help="AudioCaps' test.csv, or song_describer.csv, as they are published: with the columns "
        "audiocap_id, youtube_id and caption, or caption_id, track_id and caption.",
    ),
]
ProtocolName = Annotated[
    Literal["audiocaps", "song-describer"],
    typer.Option("--protocol", help="Sounds of 10 s, or music of 47 s."),
]
Subset = Annotated[
    str,
    typer.Option(
        metavar="all|no-speech|no-connectors|no-speech-no-connectors|no-singing",
        help="Take a subset of the prompts: the first three of AudioCaps, the last of Song "
        "Describer.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take the first prompts alone.", show_default="all")
]
Seed = Annotated[int, typer.Option(help="Seed of the table's first caption; the others count up.")]
Sampler = Annotated[
    str | None,
    typer.Option(help="As `generate --help` lists them.", show_default="the model's"),
]
Batch = Annotated[int, typer.Option(min=1, max=65_536, help="Sounds at once, in each process.")]

"""`stable-audio-open curate search`: which recordings have the names of protected works."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def search(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    against: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV with the columns artist,title[,album].")
    ],
    threshold: Annotated[
        int, typer.Option(min=1, max=100, help="How alike artist and title both have to be.")
    ] = 90,
) -> None:
    """Send recordings to review whose artist and title are like those of a list.

    What was found before with the same list and threshold is passed over.
    """
    from stable_audio_open.curation.known_works.search import search_catalogue

    found = search_catalogue(catalogue, against, threshold=threshold)
    echo(
        f"{catalogue}: {found.to_review} of {found.records} to review, {found.before} found "
        f"before, {found.nameless} without artist or title"
    )

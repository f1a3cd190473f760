"""`stable-audio-open curate search`: which recordings have the names of protected works."""

from pathlib import Path
from typing import Annotated

import typer


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
    from stable_audio_open.curation.catalogue import read_catalogue
    from stable_audio_open.curation.decisions import add_decisions, read_decisions
    from stable_audio_open.curation.search import (
        STAGE,
        KnownWorks,
        artist_of,
        decide_search,
        find_matches,
        read_works,
        signature,
    )

    known, by = KnownWorks(read_works(against)), signature(against, threshold)
    done = {d.id for d in read_decisions(catalogue) if (d.stage, d.by) == (STAGE, by)}
    total = nameless = 0
    for record in read_catalogue(catalogue):
        total += 1
        nameless += not (artist_of(record) and record.title)
    remaining = (record for record in read_catalogue(catalogue) if record.id not in done)
    found = [
        decide_search(match, by=by) for match in find_matches(remaining, known, threshold=threshold)
    ]
    add_decisions(catalogue, found)
    typer.echo(
        f"{catalogue}: {len(found)} of {total} to review, {len(done)} found before, "
        f"{nameless} without artist or title"
    )

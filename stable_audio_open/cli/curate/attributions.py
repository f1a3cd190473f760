"""`stable-audio-open curate attributions`: name the authors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo
from stable_audio_open.curation.catalogue.record import CatalogueRecord


def attributions(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of ATTRIBUTIONS.md and attributions.csv.",
        ),
    ],
    used: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Manifest of a training: name the recordings in it, whatever was decided since.",
            show_default="all that were not dropped and wait for no review",
        ),
    ] = None,
    changes: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What was done to the recordings.",
            show_default="used to train a model; not distributed",
        ),
    ] = None,
    allow_unlicensed: Annotated[
        bool,
        typer.Option(
            "--allow-unlicensed",
            help="List recordings too that have no accepted licence or no author.",
        ),
    ] = False,
) -> None:
    """Write title, author, source and licence of every recording, for people and for programs."""
    from stable_audio_open.curation.catalogue.decisions import final_decisions, read_decisions
    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.licences.attributions import (
        CHANGES,
        require_all,
        stands,
        used_ids,
        write_attributions,
    )
    from stable_audio_open.curation.licences.policy import require_licences

    ids = None if used is None else used_ids(used)
    if ids is not None and used is not None:
        require_all(ids, read_catalogue(catalogue), used)
    decided = final_decisions(read_decisions(catalogue))

    def chosen() -> Iterator[CatalogueRecord]:
        for record in read_catalogue(catalogue):
            if stands(record, decided) if ids is None else record.id in ids:
                yield record

    require_licences(chosen(), allow_unlicensed=allow_unlicensed)
    count = write_attributions(chosen, output, changes=CHANGES if changes is None else changes)
    echo(f"{output}: {count} recordings in ATTRIBUTIONS.md and attributions.csv")

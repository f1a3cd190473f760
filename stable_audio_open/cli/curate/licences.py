"""`stable-audio-open curate licences`: drop what no training set may hold."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo

NO_AUTHOR = "refused: no author"


def licences(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
) -> None:
    """Drop recordings whose licence is not CC0, CC-BY or CC Sampling+, or that name no author."""
    from collections import Counter

    from stable_audio_open.curation.catalogue.decisions import add_decisions, read_decisions
    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.licences.policy import (
        licence_decisions,
        licence_refusal,
        normalise,
        refusal,
    )

    counts: Counter[tuple[str, str]] = Counter()
    for record in read_catalogue(catalogue):
        verdict = "accepted"
        if reason := refusal(record):
            verdict = "refused" if reason == licence_refusal(record.licence) else NO_AUTHOR
        counts[normalise(record.licence).label, verdict] += 1
    added = add_decisions(
        catalogue,
        licence_decisions(
            read_catalogue(catalogue), read_decisions(catalogue), by="curate licences"
        ),
    )
    for (label, verdict), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        echo(f"{count:>9,}  {label}  {verdict}")
    accepted = sum(count for (_, verdict), count in counts.items() if verdict == "accepted")
    echo(f"{catalogue}: {accepted} of {counts.total()} records accepted; {added} decisions added")

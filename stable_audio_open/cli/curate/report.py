"""`stable-audio-open curate report`: a catalogue and its decisions as a page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Page.", show_default="CATALOGUE/report.html"
        ),
    ] = None,
) -> None:
    """Write one HTML page: durations, rates, tags, licences, decisions."""
    from stable_audio_open.audio.replace import replace_bytes
    from stable_audio_open.curation.catalogue import read_catalogue
    from stable_audio_open.curation.decisions import read_decisions
    from stable_audio_open.curation.report import report_page

    records = list(read_catalogue(catalogue))
    page = report_page(catalogue.resolve().name, records, read_decisions(catalogue))
    path = output or catalogue / "report.html"
    replace_bytes(path, page.encode())
    typer.echo(f"{path}: {len(records)} recordings")

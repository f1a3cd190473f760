"""`stable-audio-open curate report`: a catalogue and its decisions as a page."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def report(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Page.", show_default="CATALOGUE/report.html"
        ),
    ] = None,
    built: Annotated[
        Path | None,
        typer.Option("--set", metavar="SET", help="Set that was built, to name unusable files."),
    ] = None,
) -> None:
    """Write one HTML page: durations, rates, tags, licences, decisions, and what is left out."""
    from stable_audio_open.curation.review.report import write_report
    from stable_audio_open.curation.training_set.current import read_summary

    path = output or catalogue / "report.html"
    unusable = read_summary(built)["unusable"] if built else {}
    count = write_report(path, catalogue.resolve().name, catalogue, unusable=unusable)
    echo(f"{path}: {count} recordings")

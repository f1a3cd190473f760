"""`stable-audio-open evaluate report`: our rows in the tables of the paper."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo

Players = Annotated[int, typer.Option(min=0, help="Files of each folder to play on the page.")]


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER",
            help="Folder of `evaluate generate` or `evaluate protocol`, one per model.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where report.* are written.")
    ],
    players: Players = 8,
) -> None:
    """Write tables 1 to 7 with our rows, as Markdown, JSON and HTML with audio players.

    Figures are read from FOLDER/results/SUBSET/*.json, the results of the other commands.
    """
    from stable_audio_open.audio.writing.places import check_folder
    from stable_audio_open.evaluation.report.tables import read_runs
    from stable_audio_open.evaluation.report.writing import write_report

    check_folder(output)
    runs = read_runs(folders)
    for path in write_report(output, runs, players=players):
        echo(str(path))
    echo(f"{sum(len(run.measurements) for run in runs)} figures of {len(runs)} folders")

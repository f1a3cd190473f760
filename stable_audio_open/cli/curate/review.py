"""`stable-audio-open curate review`: what waits for a person, out and back."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def review(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write review.csv and review.html here."
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the recordings, to listen on the page."),
    ] = None,
    filled: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="A filled table to take over.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decided; goes with --import.")
    ] = None,
) -> None:
    """Write what waits for a person as a table and a page, or take over what was decided."""
    if (output is None) == (filled is None):
        raise ValueError("give either --output or --import")
    if (filled is None) != (by is None):
        raise ValueError("--import and --by go together: who decided?")
    if output is not None:
        _export(catalogue, output, audio)
    elif filled is not None and by is not None:
        _import(catalogue, filled, by)


def _export(catalogue: Path, output: Path, audio: Path | None) -> None:
    from stable_audio_open.curation.catalogue.decisions import read_decisions
    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.review.page import write_page
    from stable_audio_open.curation.review.table import open_cases, write_table

    cases = open_cases(read_catalogue(catalogue), read_decisions(catalogue))
    table = output / "review.csv"
    if table.exists():
        raise ValueError(f"{table}: is there already and may be filled in; import or move it first")
    output.mkdir(parents=True, exist_ok=True)
    write_page(output / "review.html", cases, audio=audio)
    write_table(table, cases)
    echo(f"{output}: {len(cases)} recordings wait; fill in review.csv, or use review.html")


def _import(catalogue: Path, filled: Path, by: str) -> None:
    from stable_audio_open.curation.catalogue.decisions import add_decisions, read_decisions
    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.review.table import read_answers

    identifiers = (record.id for record in read_catalogue(catalogue))
    answers = read_answers(filled, identifiers, read_decisions(catalogue), by=by)
    add_decisions(catalogue, answers.decisions)
    kept = sum(decision.verdict == "keep" for decision in answers.decisions)
    echo(
        f"{catalogue}: {kept} kept, {len(answers.decisions) - kept} dropped, {answers.open} left "
        f"open, {answers.known} known before"
    )

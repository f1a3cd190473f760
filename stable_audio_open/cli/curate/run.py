"""`stable-audio-open curate run`: from the sources to the training set in one command."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.curate.options import Address, EngineName, Gpus, Workers, make_engine
from stable_audio_open.cli.printing import echo


def run(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="Configuration of the curation.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Fields to change, such as music=null."),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder of all that is written.",
            show_default="the configuration's",
        ),
    ] = None,
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
) -> None:
    """Run all stages: ingest, scan, licences, music, search, duplicates, review, set, report.

    Run again, it goes on where it was, and what was decided is not decided twice.
    """
    from msgspec.structs import replace

    from stable_audio_open.config.read import read_curation

    settings = read_curation(config, overrides or ())
    if output is not None:
        settings = replace(settings, output=str(output))

    from stable_audio_open.curation.training_set.select import MANIFEST
    from stable_audio_open.jobs.curate import SET, run_curation
    from stable_audio_open.manifest import INDEX

    runs = make_engine(engine, workers, address, gpus_per_worker)
    for done in run_curation(settings, engine=runs):
        echo(f"{done.stage:<13}{done.counts}")
    target = Path(settings.output) / SET
    if settings.set.form == "manifest":
        train = f"data.path={settings.audio} data.manifest={(target / MANIFEST).resolve()}"
    else:
        train = f"data.path={target} data.manifest={INDEX}"
    echo(f"train with {train}")

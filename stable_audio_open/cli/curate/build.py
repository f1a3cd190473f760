"""`stable-audio-open curate build`: a training set of what stands."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli.curate.options import Address, EngineName, Workers, make_engine
from stable_audio_open.cli.printing import echo


def build(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    audio: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the recordings.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="SET", help="Folder to write, new or empty.")
    ],
    form: Annotated[
        Literal["manifest", "shards"],
        typer.Option(help="A list of the files in place, or WebDataset shards of FLAC."),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the order in shards and of the chunks.")] = 0,
    chunks: Annotated[
        bool,
        typer.Option("--chunks", help="Draw the autoencoder's chunks too; reads 48 kHz files."),
    ] = False,
    recordings_per_shard: Annotated[
        int, typer.Option(min=1, help="Recordings in each shard but the last.")
    ] = 256,
    allow_unlicensed: Annotated[
        bool,
        typer.Option("--allow-unlicensed", help="Take recordings without licence or author too."),
    ] = False,
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Write the recordings that stand as a training set, with its numbers in set.json."""
    from stable_audio_open.curation.training_set.select import MANIFEST
    from stable_audio_open.curation.training_set.write import build_training_set
    from stable_audio_open.manifest import INDEX

    items = build_training_set(
        catalogue,
        audio,
        output,
        form=form,
        seed=seed,
        allow_unlicensed=allow_unlicensed,
        per_shard=recordings_per_shard,
        chunks=chunks,
        engine=make_engine(engine, workers, address),
    )
    hours = sum(item.info.duration for item in items) / 3600
    if form == "manifest":
        train = f"data.path={audio} data.manifest={(output / MANIFEST).resolve()}"
    else:
        train = f"data.path={output} data.manifest={INDEX}"
    echo(f"{output}: {len(items)} recordings, {hours:.2f} h; train with {train}")

"""`stable-audio-open curate prompts`: examples of what a training would read."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def prompts(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    show: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    epoch: Annotated[int, typer.Option(min=0, help="Each epoch draws anew.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the recordings and prompts.")] = 0,
) -> None:
    """Print prompts drawn from the metadata of random recordings."""
    import random

    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.training_set.epoch_prompt import prompt_of_epoch
    from stable_audio_open.prompts import is_described

    described = [record for record in read_catalogue(catalogue) if is_described(record)]
    if not described:
        raise ValueError(f"{catalogue}: no record has metadata to draw a prompt from")
    for record in random.Random(seed).sample(described, min(show, len(described))):
        echo(f"{record.id}\t{prompt_of_epoch(record, epoch=epoch, seed=seed)}")

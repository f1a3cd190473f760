"""`stable-audio-open encode`: recordings to shards of latents, for training."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def encode(
    config: Annotated[
        Path, typer.Option(metavar="FILE", help="Configuration of a diffusion training.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the shards.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Fields to change, such as data.path=recordings."),
    ] = None,
    *,
    recordings_per_shard: Annotated[
        int, typer.Option(min=1, help="Recordings in each shard but the last.")
    ] = 256,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare all shards with their checksums in the end."),
    ] = False,
) -> None:
    """Encode the recordings of a diffusion training once, into WebDataset shards.

    An interrupted encoding goes on where it stopped. torchrun shares it out over GPUs.
    """
    import json
    import logging

    from stable_audio_open.config.read import read_config

    settings = read_config(config, overrides or ())
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)

    from stable_audio_open.jobs.encode import run_encoding

    index = run_encoding(settings, output, per_shard=recordings_per_shard, verify=verify)
    if index is None:  # the first process speaks for all
        return
    size = sum(shard.bytes for shard in index.shards)
    data = json.dumps({"type": "shards", "path": str(output)})
    echo(
        f"{output}: {index.recordings} recordings in {len(index.shards)} shards, "
        f"{size / 1e6:.1f} MB; train with 'data={data}'"
    )

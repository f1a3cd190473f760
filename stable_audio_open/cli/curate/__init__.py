"""`stable-audio-open curate ...`: one file for each command."""

import typer

from stable_audio_open.cli.curate.attributions import attributions
from stable_audio_open.cli.curate.fetch import fetch
from stable_audio_open.cli.curate.ingest import ingest
from stable_audio_open.cli.curate.licences import licences

curate = typer.Typer(
    help="Turn catalogues of recordings into licensed training sets.", no_args_is_help=True
)
for command in (fetch, ingest, licences, attributions):
    curate.command()(command)

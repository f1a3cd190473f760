"""`stable-audio-open curate ...`: one file for each command."""

import typer

from stable_audio_open.cli.curate.build import build
from stable_audio_open.cli.curate.duplicates import duplicates
from stable_audio_open.cli.curate.prompts import prompts
from stable_audio_open.cli.curate.report import report

curate = typer.Typer(
    help="Turn catalogues of recordings into licensed training sets.", no_args_is_help=True
)
for command in (duplicates, prompts, build, report):
    curate.command()(command)

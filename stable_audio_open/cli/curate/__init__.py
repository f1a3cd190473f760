"""`stable-audio-open curate ...`: one file for each command."""

import typer

from stable_audio_open.cli.curate.calibrate_music import calibrate_music
from stable_audio_open.cli.curate.music import music
from stable_audio_open.cli.curate.review import review
from stable_audio_open.cli.curate.search import search

curate = typer.Typer(
    help="Turn catalogues of recordings into licensed training sets.", no_args_is_help=True
)
for command in (music, calibrate_music, search, review):
    curate.command()(command)

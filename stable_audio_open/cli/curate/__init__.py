"""`stable-audio-open curate ...`: one file for each command."""

import typer

from stable_audio_open.cli.curate.attributions import attributions
from stable_audio_open.cli.curate.build import build
from stable_audio_open.cli.curate.calibrate_music import calibrate_music
from stable_audio_open.cli.curate.duplicates import duplicates
from stable_audio_open.cli.curate.fetch import fetch
from stable_audio_open.cli.curate.ingest import ingest
from stable_audio_open.cli.curate.licences import licences
from stable_audio_open.cli.curate.music import music
from stable_audio_open.cli.curate.prompts import prompts
from stable_audio_open.cli.curate.report import report
from stable_audio_open.cli.curate.review import review
from stable_audio_open.cli.curate.run import run
from stable_audio_open.cli.curate.scan import scan
from stable_audio_open.cli.curate.search import search

curate = typer.Typer(
    help="Turn catalogues of recordings into licensed training sets.", no_args_is_help=True
)
for command in (
    *(run, fetch, ingest, scan, licences, attributions),
    *(music, calibrate_music, search, review),
    *(duplicates, prompts, build, report),
):
    curate.command()(command)

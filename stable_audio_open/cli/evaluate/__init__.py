"""`stable-audio-open evaluate ...`: one file for each command."""

import typer

from stable_audio_open.cli.evaluate.memorisation import memorisation
from stable_audio_open.cli.evaluate.speed import speed

evaluate = typer.Typer(
    help="Measure generated and decoded recordings as the paper does.", no_args_is_help=True
)
for command in (memorisation, speed):
    evaluate.command()(command)

"""`stable-audio-open evaluate ...`: one file for each command."""

import typer

from stable_audio_open.cli.evaluate.generate import generate
from stable_audio_open.cli.evaluate.protocol import protocol
from stable_audio_open.cli.evaluate.report import report

evaluate = typer.Typer(
    help="Measure generated and decoded recordings as the paper does.", no_args_is_help=True
)
for command in (generate, protocol, report):
    evaluate.command()(command)

"""`stable-audio-open evaluate ...`: one file for each command."""

import typer

from stable_audio_open.cli.evaluate.clap import clap
from stable_audio_open.cli.evaluate.frechet import frechet
from stable_audio_open.cli.evaluate.generate import generate
from stable_audio_open.cli.evaluate.kad import kad
from stable_audio_open.cli.evaluate.kl import kl
from stable_audio_open.cli.evaluate.memorisation import memorisation
from stable_audio_open.cli.evaluate.protocol import protocol
from stable_audio_open.cli.evaluate.reconstruction import reconstruction
from stable_audio_open.cli.evaluate.report import report
from stable_audio_open.cli.evaluate.sanity import sanity
from stable_audio_open.cli.evaluate.speed import speed

evaluate = typer.Typer(
    help="Measure generated and decoded recordings as the paper does.", no_args_is_help=True
)
for command in (
    *(frechet, kad, kl, clap, reconstruction, sanity),
    *(generate, protocol, report),
    *(memorisation, speed),
):
    evaluate.command()(command)

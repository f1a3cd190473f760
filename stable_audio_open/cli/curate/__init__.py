"""`stable-audio-open curate ...`: one file for each command."""

import typer

curate = typer.Typer(
    help="Turn catalogues of recordings into licensed training sets.", no_args_is_help=True
)

"""`stable-audio-open train`: a run from its configuration."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.printing import echo


def train(
    config: Annotated[Path, typer.Option(metavar="FILE", help="Configuration of the run.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="Fields to change, such as training.batch_size=4."
        ),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            metavar="auto|none|PATH",
            help="Continue from the run's last checkpoint if there is one, start where there must "
            "be none, or continue from this one.",
        ),
    ] = "auto",
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Print the memory that it needs, and start nothing."),
    ] = False,
) -> None:
    """Train an autoencoder or a diffusion model."""
    import logging

    from stable_audio_open.config.read import read_config

    settings = read_config(config, overrides or ())
    if estimate:
        from stable_audio_open.cli.estimate import print_estimate

        print_estimate(settings)
        return
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)

    from stable_audio_open.jobs.train import run_training
    from stable_audio_open.training.callbacks.measurements import PAGE

    last = run_training(settings, resume=resume)
    if last.is_file():  # a signal may have come before the first step was done
        echo(f"last checkpoint: {last}")
    page = last.parents[1] / PAGE
    if page.is_file():
        echo(f"measurements: {page}")

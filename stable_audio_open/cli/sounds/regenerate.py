"""`stable-audio-open regenerate`: a sound again, by the tags of its file."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.printing import tell


def regenerate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A sound that generate saved with its tags.")
    ],
    *,
    output: options.Output = Path(),
    overwrite: options.Overwrite = False,
    model: Annotated[
        str | None,
        typer.Option(help="Where the model is now.", show_default="as the tags say"),
    ] = None,
    text_encoder: options.TextEncoder = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the adapters are now, in their order.",
            show_default="as the tags say",
        ),
    ] = None,
    sound: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Where a sound that it was made with is now, such as init_audio=kick.wav.",
            show_default="as the tags say",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda|cuda:N|mps", help="Where to compute.", show_default="as the tags say"
        ),
    ] = None,
) -> None:
    """Make a sound again from what its tags say: the same samples, on the same machine.

    Other weights or inputs than those that it was made with are refused.
    """
    from stable_audio_open.jobs.sounds.regenerate import RegenerateRequest
    from stable_audio_open.jobs.sounds.regenerate import regenerate as make_again

    made = make_again(
        RegenerateRequest(
            file=file,
            output=output,
            model=model,
            text_encoder=text_encoder,
            lora=None if lora is None else tuple(lora),
            sounds=parsing.sounds(sound),
            device=device,
            overwrite=overwrite,
        )
    )
    like = {
        True: f", the same samples as {file}",
        False: f", other samples than {file}: this machine or its versions compute "
        "otherwise, or its tags or samples were changed",
        None: "",
    }
    tell(f"{made.file}: {made.seconds:.2f} s{like[made.same]}")

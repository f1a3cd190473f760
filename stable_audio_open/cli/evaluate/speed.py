"""`stable-audio-open evaluate speed`: steps per second and memory of each stage."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo
from stable_audio_open.settings import MOST_STEPS


def speed(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CONFIG",
            help='"tiny", a checkpoint or a hub name; a configuration (.json) is measured with '
            "random weights.",
        ),
    ],
    *,
    window: Annotated[
        float | None, typer.Option(help="Seconds of sound.", show_default="the model's window")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, max=MOST_STEPS, help="Sampling steps in a measurement.")
    ] = 20,
    chunk: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Latents in a chunk of decoding, the overlap not counted; may be given again.",
            show_default="32, 64, 128, 256, 512",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=65_536, help="Sounds at once.")] = 1,
    repeats: Annotated[
        int, typer.Option(min=1, max=10_000, help="Measurements, after a warm-up.")
    ] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write.")
    ] = None,
    text_encoder: options.TextEncoder = None,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Measure text encoding, diffusion steps with guidance, and decoding at several chunk sizes.

    The figures that the paper has (section 5.4, appendix B) stand below, of other machines.
    """
    from stable_audio_open.audio.writing.places import check_folder
    from stable_audio_open.evaluation.speed import speed_table, to_json
    from stable_audio_open.files.atomic import replace_bytes
    from stable_audio_open.jobs.speed import SpeedRequest, measure_speed

    if output is not None:
        check_folder(output.parent)
    options.use_threads(threads)
    request = SpeedRequest(
        model=model,
        window=window,
        steps=steps,
        chunks=tuple(chunk or ()),
        batch=batch,
        repeats=repeats,
        text_encoder=text_encoder,
        device=device,
        dtype=dtype,
        attention=attention,
    )
    found = measure_speed(request, tell=echo)
    if output is not None:
        replace_bytes(output, to_json(found))
    echo(speed_table(found))

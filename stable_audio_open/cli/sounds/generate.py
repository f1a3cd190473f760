"""`stable-audio-open generate`: text to audio files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.grouped import grouped
from stable_audio_open.cli.printing import tell
from stable_audio_open.cli.sounds.file_options import FileOptions
from stable_audio_open.cli.sounds.groups import (
    ItemOptions,
    Mix,
    ModelOptions,
    SamplingOptions,
    SecondsStart,
    Variations,
    Window,
    given,
)
from stable_audio_open.cli.sounds.making import make_sounds


@grouped
def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="What to hear, one text per sound.")
    ] = None,
    *,
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table of sounds, .csv or .jsonl, with a column prompt and one for any other "
            "argument in Python; options stand for cells that are empty.",
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds of sound; more than the model's window is made of several.",
            show_default="the model's window",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Length in samples, instead of --duration.", show_default="none"),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Make a sound that can be repeated without a seam.")
    ] = False,
    bars: Annotated[
        float | None,
        typer.Option(
            help="Length of a loop in bars of four beats; needs --bpm.", show_default="none"
        ),
    ] = None,
    bpm: Annotated[
        float | None,
        typer.Option(
            help="Beats per minute of these bars, which are added to the prompt.",
            show_default="none",
        ),
    ] = None,
    prompt_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECONDS:PROMPT",
            help="Another prompt from there on, such as 30:storm; may be given again.",
        ),
    ] = None,
    mix: Mix = None,
    variations: Variations = 1,
    items: ItemOptions,
    sampling: SamplingOptions,
    window: Window = None,
    seconds_start: SecondsStart = None,
    init_audio: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sound to start from instead of noise.")
    ] = None,
    init_strength: Annotated[
        float | None,
        typer.Option(help="0..1, how much of the init audio is replaced.", show_default="0.7"),
    ] = None,
    init_noise_level: Annotated[
        float | None,
        typer.Option(
            help="Noise level (sigma) to start from the init audio at, instead of --init-strength.",
            show_default="by --init-strength",
        ),
    ] = None,
    trim: Annotated[
        bool, typer.Option("--trim/--no-trim", help="Cut at the duration, or keep the window.")
    ] = True,
    files: FileOptions,
    model: ModelOptions,
    batch: Annotated[int | None, typer.Option("--batch", hidden=True)] = None,
) -> None:
    """Make sounds from text: `generate "deep kick drum" --duration 2 --output kick.wav`.

    In a folder, files are named by prompt and seed. With --jobs, every row of a table is made once:
    the same command goes on where it stopped, and torchrun shares the rows out over GPUs.
    """
    if batch is not None:
        raise ValueError(
            f"--batch {batch}: the number of sounds per prompt is now --variations {batch}"
        )
    if not prompts and jobs is None:
        raise typer.BadParameter("give a PROMPT, or a table of sounds as --jobs")
    if jobs is not None and (prompts or prompt_at or mix):
        raise ValueError(f"give prompts or --jobs {jobs}, not both")
    if prompt_at and mix:
        raise ValueError("--prompt-at and --mix: a prompt that changes is of one text at a time")

    from stable_audio_open.jobs.sounds.check import check_before_loading

    asked = given(
        {
            "duration": duration,
            "samples": samples,
            "loop": loop or None,
            "bars": bars,
            "bpm": bpm,
            "seconds_start": seconds_start,
            "window": window,
            "init_audio": init_audio,
            "init_strength": init_strength,
            "init_noise_level": init_noise_level,
            "trim": None if trim else False,
        }
    )
    asked |= items.arguments() | sampling.arguments()
    texts = [prompt for prompt in prompts or () for _ in range(variations)]
    changes = parsing.prompts_at(prompt_at)
    whole = [[(0.0, text), *changes] if changes else parsing.mixed(text, mix) for text in texts]
    check_before_loading(asked, whole, files.finishing())
    if jobs is not None:
        options.use_threads(model.threads)
        _make_table(jobs, {**asked, "variations": variations}, files=files, model=model)
        return
    make_sounds(
        lambda system, progress: system.generate(whole, **asked, progress=progress),
        model=model,
        files=files,
        texts=texts,
        reads=[] if init_audio is None else [init_audio],
    )


def _make_table(
    table: Path, asked: dict[str, Any], *, files: FileOptions, model: ModelOptions
) -> None:
    """Make the sounds of a table, and say what became of them.

    Raises:
        typer.Exit: With code 1, where rows have failed.
    """
    import logging

    from msgspec.structs import asdict

    from stable_audio_open.jobs.sounds.run import SoundsRequest, run_sounds

    files.pattern()
    columns = {**asked, **asdict(files.finishing()), "subtype": files.subtype, "name": files.name}
    request = SoundsRequest(
        model=model.model,
        table=table,
        output=files.output,
        defaults={column: value for column, value in columns.items() if value is not None},
        tags=files.tags,
        overwrite=files.overwrite,
        **model.loading(),
    )
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    counts = run_sounds(request, tell=tell)
    if counts is None:  # the first process speaks for all
        return
    tell(
        f"{request.output}: {counts.made} rows made, {counts.kept} were there, {counts.failed} "
        "failed; results.jsonl has a line for each"
    )
    if counts.failed:
        raise typer.Exit(1)

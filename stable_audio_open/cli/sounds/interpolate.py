"""`stable-audio-open interpolate`: sounds on the way from one prompt or seed to another."""

from typing import Annotated, Any

import typer

from stable_audio_open.cli.grouped import grouped
from stable_audio_open.cli.sounds.file_options import FileOptions
from stable_audio_open.cli.sounds.groups import (
    ItemOptions,
    ModelOptions,
    SamplingOptions,
    SecondsStart,
    Window,
    given,
)
from stable_audio_open.cli.sounds.making import make_sounds


@grouped
def interpolate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the first one is of.")],
    last_prompt: Annotated[
        str | None, typer.Argument(metavar="LAST", help="What the last one is of.")
    ] = None,
    *,
    count: Annotated[int, typer.Option(help="Sounds, the two ends among them.")] = 8,
    last_seed: Annotated[
        int | None, typer.Option(help="Seed of the last sound.", show_default="that of the first")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds of each sound.", show_default="the model's window"),
    ] = None,
    window: Window = None,
    seconds_start: SecondsStart = None,
    items: ItemOptions,
    sampling: SamplingOptions,
    files: FileOptions,
    model: ModelOptions,
) -> None:
    """Make sounds between two: `interpolate tabla cowbell --seed 1 --last-seed 2 --output way`.

    Between prompts, what they lead to is mixed; between seeds, the noise.
    """
    from stable_audio_open.jobs.sounds.check import check_interpolation

    places = {"duration": duration, "window": window, "seconds_start": seconds_start}
    asked: dict[str, Any] = {"count": count, **given(places)}
    asked |= items.arguments() | sampling.arguments()
    if last_seed is not None:
        if "seed" not in asked:
            raise ValueError(f"--last-seed {last_seed} needs --seed, that of the first sound")
        asked["seed"] = (asked["seed"], last_seed)
    prompts = prompt if last_prompt is None else (prompt, last_prompt)
    check_interpolation(asked, prompts)
    text = prompt if last_prompt is None else f"{prompt} {last_prompt}"
    make_sounds(
        lambda system, progress: system.interpolate(prompts, **asked, progress=progress),
        model=model,
        files=files,
        texts=[text] * count,
    )

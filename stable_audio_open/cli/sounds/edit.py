"""`stable-audio-open inpaint` and `extend`: a part of a sound anew, and what comes behind it."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.grouped import grouped
from stable_audio_open.cli.sounds.file_options import FileOptions
from stable_audio_open.cli.sounds.groups import (
    ItemOptions,
    JointOptions,
    Mix,
    ModelOptions,
    SamplingOptions,
    Variations,
)
from stable_audio_open.cli.sounds.making import make_sounds

SPAN = "--span"
OPTION = re.compile("-[-a-z]", re.IGNORECASE)
"""How an option begins, and no number."""

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What to hear, of the whole sound.")]


@grouped
def inpaint(
    file: options.Recording,
    prompt: Prompt,
    *,
    span: Annotated[
        list[str],
        typer.Option(metavar="START END", help="Seconds to make anew; may be asked again."),
    ],
    mix: Mix = None,
    variations: Variations = 1,
    items: ItemOptions,
    joints: JointOptions,
    sampling: SamplingOptions,
    files: FileOptions,
    model: ModelOptions,
) -> None:
    """Make a part of a sound anew: `inpaint kick.wav "deep kick drum" --span 0.5 0.9 -o new.wav`.

    Outside of the spans the sound stays as it is, at the model's sample rate. In a folder, the
    file is named by the recording and the seed.
    """
    asked: dict[str, Any] = {"audio": file, "spans": [parsing.span(one) for one in span]}
    asked |= joints.arguments() | items.arguments() | sampling.arguments()
    _edit("inpaint", asked, [prompt] * variations, mix=mix, model=model, files=files)


@grouped
def extend(
    file: options.Recording,
    prompt: Prompt,
    *,
    seconds: Annotated[float, typer.Option(help="Length of what is added.")],
    before: Annotated[
        bool, typer.Option("--before", help="Put it before the sound, not behind.")
    ] = False,
    mix: Mix = None,
    variations: Variations = 1,
    items: ItemOptions,
    joints: JointOptions,
    sampling: SamplingOptions,
    files: FileOptions,
    model: ModelOptions,
) -> None:
    """Make a sound longer: `extend kick.wav "deep kick drum" --seconds 1 --output longer.wav`."""
    asked: dict[str, Any] = {"audio": file, "seconds": seconds, "before": before}
    asked |= joints.arguments() | items.arguments() | sampling.arguments()
    _edit("extend", asked, [prompt] * variations, mix=mix, model=model, files=files)


def pair_spans(arguments: Sequence[str]) -> list[str]:
    """Make one word of the two behind each `--span`, which typer does not take more than once.

    `--span=0.5 0.9` and `--span "0.5 0.9"` are meant alike. Where the second number is missing, the
    option that follows stays one.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words, rest = [], list(arguments[:end])
    while rest:
        words.append(rest.pop(0))
        if words[-1] == SPAN and rest:
            words.append(rest.pop(0))
        elif not words[-1].startswith(f"{SPAN}="):
            continue
        is_whole = " " in words[-1].strip()
        if rest and not is_whole and not OPTION.match(rest[0]):
            words[-1] += f" {rest.pop(0)}"
    return [*words, *arguments[end:]]


def _edit(
    method: Literal["inpaint", "extend"],
    asked: dict[str, Any],
    texts: list[str],
    *,
    mix: Mix,
    model: ModelOptions,
    files: FileOptions,
) -> None:
    """Refuse what can be refused before the model is loaded; edit, and save."""
    from stable_audio_open.jobs.sounds.check import check_edit

    prompts = [parsing.mixed(text, mix) for text in texts]
    check_edit(asked, prompts)
    make_sounds(
        lambda system, progress: getattr(system, method)(
            **asked, prompt=prompts, progress=progress
        ),
        model=model,
        files=files,
        texts=texts,
        source=asked["audio"],
    )

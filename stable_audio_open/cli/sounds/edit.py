"""`stable-audio-open inpaint` and `extend`: a part of a sound anew, and what comes behind it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio
    from stable_audio_open.pretrained import StableAudio

SPAN = "--span"

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What to hear, of the whole sound.")]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE|DIR", help="A .wav, .flac, .ogg or .mp3 file; a folder."
    ),
]
Steps = Annotated[
    int | None, typer.Option(help="Sampling steps.", show_default="the model's, such as 100")
]
NegativePrompt = Annotated[str | None, typer.Option(metavar="PROMPT", help="What not to hear.")]
Sampler = Annotated[
    str | None, typer.Option(help="As of `generate`.", show_default="the model's, such as dpmpp-2m")
]
Seed = Annotated[int | None, typer.Option(help="Seed of the noise.", show_default="random")]
Resampling = Annotated[
    int,
    typer.Option(min=1, max=100, help="Times that each ten steps are gone through, to fit better."),
]


def inpaint(
    file: options.Recording,
    prompt: Prompt,
    *,
    span: Annotated[
        list[str],
        typer.Option(metavar="START END", help="Seconds to make anew; may be given again."),
    ],
    output: Output = Path(),
    model: options.Model = "tiny",
    steps: Steps = None,
    guidance_scale: options.GuidanceScale = None,
    negative_prompt: NegativePrompt = None,
    seed: Seed = None,
    sampler: Sampler = None,
    resampling: Resampling = 2,
    overwrite: options.Overwrite = False,
    subtype: options.Subtype = "pcm24",
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Make a part of a sound anew: `inpaint kick.wav "deep kick drum" --span 0.5 0.9 -o new.wav`.

    Outside of the spans the sound stays as it is, at the model's sample rate. In a folder, the
    file is named by the recording and the seed.
    """
    from stable_audio_open.given_prompts import check_texts
    from stable_audio_open.settings import check_steps

    if steps is not None:
        check_steps(steps)
    check_texts(prompt, "prompt")
    spans = [_seconds(one) for one in span]

    def edit(system: "StableAudio", progress: bool) -> "Audio":
        return system.inpaint(
            file,
            prompt,
            spans=spans,
            negative_prompt=negative_prompt,
            seed=seed,
            resampling=resampling,
            progress=progress,
            steps=steps,
            guidance_scale=guidance_scale,
            sampler=sampler,
        )

    _edit(
        file,
        edit,
        output=output,
        overwrite=overwrite,
        subtype=subtype,
        model=model,
        text_encoder=text_encoder,
        lora=lora,
        device=device,
        dtype=dtype,
        attention=attention,
        threads=threads,
    )


def extend(
    file: options.Recording,
    prompt: Prompt,
    *,
    seconds: Annotated[float, typer.Option(help="Length of what is added.")],
    before: Annotated[
        bool, typer.Option("--before", help="Put it before the sound, not behind.")
    ] = False,
    output: Output = Path(),
    model: options.Model = "tiny",
    steps: Steps = None,
    guidance_scale: options.GuidanceScale = None,
    negative_prompt: NegativePrompt = None,
    seed: Seed = None,
    sampler: Sampler = None,
    resampling: Resampling = 2,
    overwrite: options.Overwrite = False,
    subtype: options.Subtype = "pcm24",
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Make a sound longer: `extend kick.wav "deep kick drum" --seconds 1 --output longer.wav`."""
    from stable_audio_open.given_prompts import check_texts
    from stable_audio_open.settings import check_steps

    if steps is not None:
        check_steps(steps)
    check_texts(prompt, "prompt")

    def edit(system: "StableAudio", progress: bool) -> "Audio":
        return system.extend(
            file,
            prompt,
            seconds=seconds,
            before=before,
            negative_prompt=negative_prompt,
            seed=seed,
            resampling=resampling,
            progress=progress,
            steps=steps,
            guidance_scale=guidance_scale,
            sampler=sampler,
        )

    _edit(
        file,
        edit,
        output=output,
        overwrite=overwrite,
        subtype=subtype,
        model=model,
        text_encoder=text_encoder,
        lora=lora,
        device=device,
        dtype=dtype,
        attention=attention,
        threads=threads,
    )


def pair_spans(arguments: Sequence[str]) -> list[str]:
    """Make one word of the two behind each `--span`, which typer does not take more than once."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words, rest = [], list(arguments[:end])
    while rest:
        words.append(rest.pop(0))
        if words[-1] == SPAN and len(rest) > 1:
            words.append(f"{rest.pop(0)} {rest.pop(0)}")
    return [*words, *arguments[end:]]


def _seconds(span: str) -> tuple[float, float]:
    try:
        start, end = map(float, span.split())
    except ValueError as error:
        raise ValueError(
            f"{SPAN} {span}: give two numbers of seconds, such as {SPAN} 1.2 2.0"
        ) from error
    return start, end


def _edit(
    file: Path,
    edit: "Callable[[StableAudio, bool], Audio]",
    *,
    output: Path,
    overwrite: bool,
    subtype: options.Subtype,
    model: str,
    text_encoder: str | None,
    lora: list[str] | None,
    device: str | None,
    dtype: str | None,
    attention: options.Attention,
    threads: int | None,
) -> None:
    """Load, edit, save and tell; what can be refused is refused before the model is loaded."""
    import sys
    from time import perf_counter

    from stable_audio_open.audio.files import audio_info
    from stable_audio_open.jobs.target import plan
    from stable_audio_open.pretrained import StableAudio

    if output.is_file() and file.exists() and output.samefile(file):
        raise ValueError(f"{output}: is the recording itself; choose another output")
    target = plan(output, sounds=1, subtype=subtype, overwrite=overwrite)
    audio_info(file)
    options.use_threads(threads)
    system = StableAudio.from_pretrained(
        model,
        device=device,
        dtype=dtype,
        text_encoder=text_encoder,
        attention=attention,
        lora=options.adapters(lora),
    )
    begin = perf_counter()
    audio = edit(system, sys.stderr.isatty())
    elapsed = perf_counter() - begin
    (saved,) = target.save(audio, [f"{file.stem}_{audio.seed}.wav"])
    echo(f"{saved}: {audio.duration:.2f} s, seed {audio.seed}, in {elapsed:.1f} s")

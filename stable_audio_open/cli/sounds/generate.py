"""`stable-audio-open generate`: text to audio files."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.jobs.sounds.run import SoundsRequest


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
    model: options.Model = "tiny",
    duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds of sound; more than the model's window is made of several.",
            show_default="the model's window",
        ),
    ] = None,
    samples: options.Samples = None,
    loop: options.Loop = False,
    bars: options.Bars = None,
    bpm: options.Bpm = None,
    prompt_at: options.PromptAt = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE|DIR", help="A .wav, .flac, .ogg or .mp3 file; a folder."
        ),
    ] = Path(),
    overwrite: options.Overwrite = False,
    name: options.Name = None,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    guidance_rescale: Annotated[
        float | None,
        typer.Option(help="0..1, against too loud results of strong guidance.", show_default="0.0"),
    ] = None,
    guidance_interval: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="LOW HIGH",
            help="Lowest and highest noise level (sigma; of flows t) that is guided.",
            show_default="all",
        ),
    ] = (0.0, math.inf),
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A number that the model is conditioned on, such as bpm=120; may be given again.",
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(metavar="PROMPT", help="What not to hear.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the first sound; the others count up.", show_default="random"),
    ] = None,
    variations: Annotated[int, typer.Option(min=1, max=10_000, help="Sounds per prompt.")] = 1,
    guidance_parallel: Annotated[
        float,
        typer.Option(
            help="0..1, how much is kept of what guidance adds along the prediction itself "
            "(adaptive projected guidance); 1 is plain guidance."
        ),
    ] = 1.0,
    guidance_norm: Annotated[
        float,
        typer.Option(help="Longest step of guidance (root mean square).", show_default="any"),
    ] = math.inf,
    guidance_momentum: Annotated[
        float, typer.Option(help="Share of the step of guidance before that is added; -1..1.")
    ] = 0.0,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="dpmpp-2m, dpmpp-2m-sde, dpmpp-3m-sde, euler, heun, rk4, ddim, ping-pong, or "
            "k-diffusion:NAME with that extra.",
            show_default="the model's: dpmpp-2m, euler of flows, ping-pong of those for few steps",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Spacing of the noise levels: polyexponential, karras, log-snr or linear.",
            show_default="the model's: polyexponential, log-snr of flows",
        ),
    ] = None,
    sigma_min: Annotated[
        float | None,
        typer.Option(help="Last noise level before 0.", show_default="the schedule's, such as 0.3"),
    ] = None,
    sigma_max: Annotated[
        float | None,
        typer.Option(help="First noise level.", show_default="the schedule's, such as 500"),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="Seconds to compute at once; shorter is faster, but the model was trained on the "
            "whole.",
            show_default="the model's window",
        ),
    ] = None,
    seconds_start: Annotated[
        float, typer.Option(help="Where in a longer recording the sound starts.")
    ] = 0.0,
    init_audio: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sound to start from instead of noise.")
    ] = None,
    init_strength: Annotated[
        float, typer.Option(help="0..1, how much of the init audio is replaced.")
    ] = 0.7,
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
    trim_silence: options.TrimSilence = False,
    sample_rate: options.SampleRate = None,
    channels: options.Channels = None,
    fade: options.Fade = None,
    loudness: options.Loudness = None,
    peak: options.Peak = None,
    subtype: options.Subtype = "pcm24",
    tags: options.Tags = True,
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
    guidance: options.Guidance = None,
    rescale: Annotated[float | None, typer.Option("--rescale", hidden=True)] = None,
    negative: Annotated[str | None, typer.Option("--negative", hidden=True)] = None,
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
    if jobs is not None and (prompts or prompt_at):
        raise ValueError(f"give prompts or --jobs {jobs}, not both")
    import sys
    from time import perf_counter

    from msgspec.structs import asdict

    from stable_audio_open.audio.finishing import Finishing
    from stable_audio_open.editing.timeline import check_timelines
    from stable_audio_open.jobs.sounds.check import check_before_loading
    from stable_audio_open.jobs.target import name_pattern, plan
    from stable_audio_open.pretrained import StableAudio

    settings: dict[str, Any] = {
        "duration": duration,
        "samples": samples,
        "loop": loop,
        "bars": bars,
        "bpm": bpm,
        "seconds_start": seconds_start,
        "window": window,
        "conditions": options.conditions(condition),
        "negative_prompt": options.either(
            "--negative-prompt", negative_prompt, "--negative", negative
        ),
        "steps": steps,
        "guidance_scale": options.either(
            "--guidance-scale", guidance_scale, "--guidance", guidance
        ),
        "guidance_rescale": options.either(
            "--guidance-rescale", guidance_rescale, "--rescale", rescale
        ),
        "guidance_interval": guidance_interval,
        "guidance_parallel": guidance_parallel,
        "guidance_norm": guidance_norm,
        "guidance_momentum": guidance_momentum,
        "sampler": sampler,
        "schedule": schedule,
        "sigma_min": sigma_min,
        "sigma_max": sigma_max,
        "seed": seed,
        "init_audio": init_audio,
        "init_strength": init_strength,
        "init_noise_level": init_noise_level,
        "trim": trim,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    finishing = Finishing(
        trim_silence=trim_silence,
        sample_rate=sample_rate,
        channels=channels,
        fade=fade,
        loudness=loudness,
        peak=peak,
    )
    pattern = name_pattern(name)
    texts = [prompt for prompt in prompts or () for _ in range(variations)]
    changes = options.changes(prompt_at)
    along_the_way = [[(0.0, text), *changes] for text in texts]
    check_before_loading(given, texts)
    if changes:
        check_timelines(along_the_way, duration=math.inf if duration is None else duration)
    options.use_threads(threads)
    loading: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "text_encoder": text_encoder,
        "attention": attention,
        "lora": tuple(options.adapters(lora)),
    }
    if jobs is not None:
        from stable_audio_open.jobs.sounds.run import SoundsRequest

        columns = {**given, **asdict(finishing), "subtype": subtype, "variations": variations}
        request = SoundsRequest(
            model=model,
            table=jobs,
            output=output,
            defaults={
                column: value
                for column, value in {**columns, "name": name}.items()
                if value is not None
            },
            tags=tags,
            overwrite=overwrite,
            **loading,
        )
        _make_table(request)
        return
    target = plan(
        output,
        sounds=len(texts),
        subtype=subtype,
        overwrite=overwrite,
        suffix=pattern.suffix,
        tags=tags,
    )

    begin = perf_counter()
    system = StableAudio.from_pretrained(model, **loading)
    loaded = perf_counter()
    audio = system.generate(
        along_the_way if changes else texts, **given, progress=sys.stderr.isatty()
    )
    elapsed = perf_counter() - loaded
    audio = audio.finish(**asdict(finishing))
    names = [
        pattern.name(index=index, prompt=text, seed=seed)
        for index, (text, seed) in enumerate(zip(texts, audio.seeds, strict=True))
    ]
    files = target.save(audio, names, tags=tags)
    for file, item, text, end in zip(files, audio, texts, audio.sound_end(), strict=True):
        ends = f"sound ends at {end:.2f} s" if end else "silent"
        echo(f'{file}: {item.duration:.2f} s, {ends}, seed {item.seed}, "{text}"')
    total = sum(audio.durations)
    echo(
        f"model loaded in {loaded - begin:.1f} s; {total:.2f} s of sound in {elapsed:.1f} s "
        f"({total / elapsed:.2f} times real time)"
    )


def _make_table(request: "SoundsRequest") -> None:
    """Make the sounds of a table, and say what became of them.

    Raises:
        typer.Exit: With code 1, where rows have failed.
    """
    import logging

    from stable_audio_open.jobs.sounds.run import run_sounds

    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    counts = run_sounds(request, tell=echo)
    if counts is None:  # the first process speaks for all
        return
    echo(
        f"{request.output}: {counts.made} rows made, {counts.kept} were there, {counts.failed} "
        "failed; results.jsonl has a line for each"
    )
    if counts.failed:
        raise typer.Exit(1)

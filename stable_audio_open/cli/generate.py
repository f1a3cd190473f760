"""`stable-audio-open generate`: text to audio files."""

import math
from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo


def generate(
    prompts: Annotated[
        list[str], typer.Argument(metavar="PROMPT", help="What to hear, one text per sound.")
    ],
    *,
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
    subtype: options.Subtype = "pcm24",
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

    In a folder, files are named by prompt and seed.
    """
    import sys
    from time import perf_counter

    from stable_audio_open.audio.files import audio_info
    from stable_audio_open.cli.target import file_name, plan
    from stable_audio_open.editing.generate import check_length, check_loop
    from stable_audio_open.editing.timeline import check_timelines
    from stable_audio_open.pretrained import StableAudio
    from stable_audio_open.request import check_options, check_seeds, check_start, check_texts

    if batch is not None:
        raise ValueError(
            f"--batch {batch}: the number of sounds per prompt is now --variations {batch}"
        )
    scale = options.guidance_scale(guidance_scale, guidance)
    rescale = options.either("--guidance-rescale", guidance_rescale, "--rescale", rescale)
    negative = options.either("--negative-prompt", negative_prompt, "--negative", negative)
    texts = [prompt for prompt in prompts for _ in range(variations)]
    # What can be refused before the model is loaded.
    target = plan(output, sounds=len(texts), subtype=subtype)
    check_texts(texts, "prompt")
    check_seeds(seed, len(texts))
    check_options(sampler=sampler, schedule=schedule, steps=steps)
    numbers = options.conditions(condition)
    check_start(init_strength, init_noise_level)
    check_length(duration=duration, samples=samples, loop=loop, bars=bars, bpm=bpm)
    if loop:
        check_loop(seconds_start=seconds_start, init_audio=init_audio, trim=trim)
    changes = options.changes(prompt_at)
    along_the_way = [[(0.0, text), *changes] for text in texts]
    check_timelines(along_the_way, duration=math.inf if duration is None else duration)
    if init_audio is not None:
        audio_info(init_audio)
    options.use_threads(threads)

    begin = perf_counter()
    system = StableAudio.from_pretrained(
        model,
        device=device,
        dtype=dtype,
        text_encoder=text_encoder,
        attention=attention,
        lora=options.adapters(lora),
    )
    loaded = perf_counter()
    audio = system.generate(
        along_the_way if changes else texts,
        duration=duration,
        samples=samples,
        loop=loop,
        bars=bars,
        bpm=bpm,
        seconds_start=seconds_start,
        window=window,
        conditions=numbers,
        negative_prompt=negative,
        steps=steps,
        guidance_scale=scale,
        guidance_rescale=0.0 if rescale is None else rescale,
        guidance_interval=guidance_interval,
        sampler=sampler,
        schedule=schedule,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        seed=seed,
        init_audio=init_audio,
        init_strength=init_strength,
        init_noise_level=init_noise_level,
        trim=trim,
        progress=sys.stderr.isatty(),
    )
    elapsed = perf_counter() - loaded

    names = [file_name(text, seed) for text, seed in zip(texts, audio.seeds, strict=True)]
    files = target.save(audio, names)
    for file, item, text, end in zip(files, audio, texts, audio.sound_end(), strict=True):
        ends = f"sound ends at {end:.2f} s" if end else "silent"
        echo(f'{file}: {item.duration:.2f} s, {ends}, seed {item.seed}, "{text}"')
    echo(
        f"model loaded in {loaded - begin:.1f} s; {len(audio) * audio.duration:.2f} s of sound in "
        f"{elapsed:.1f} s ({len(audio) * audio.duration / elapsed:.2f} times real time)"
    )

"""`stable-audio-open evaluate generate`: what a model makes of a data set's captions."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.evaluate import options as shared


def generate(
    model: shared.Model,
    prompts: shared.Prompts,
    protocol: shared.ProtocolName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the generations.")
    ],
    subset: shared.Subset = "all",
    limit: shared.Limit = None,
    seed: shared.Seed = 0,
    steps: shared.Steps = 100,
    guidance: shared.Guidance = 7.0,
    sampler: shared.Sampler = "dpmpp-2m",
    batch: shared.Batch = 1,
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Generate one file for each caption, named by it and as long as the paper's.

    An interrupted run goes on where it stopped. torchrun shares it out over GPUs.
    """
    import logging

    from stable_audio_open.audio.saving import check_folder
    from stable_audio_open.data.processes import joined_processes
    from stable_audio_open.jobs.protocol.make import (
        device_of,
        make_generations,
        open_generations,
        seconds_of,
    )
    from stable_audio_open.jobs.protocol.request import check_asked
    from stable_audio_open.pretrained import StableAudio

    asked = check_asked(
        prompts,
        protocol,
        subset=subset,
        limit=limit,
        steps=steps,
        guidance=guidance,
        sampler=sampler,
        seed=seed,
        batch=batch,
        lora=options.adapters(lora),
    )
    check_folder(output)
    options.use_threads(threads)
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    with joined_processes() as processes:
        system = StableAudio.from_pretrained(
            model,
            device=device_of(device, processes),
            dtype=dtype,
            text_encoder=text_encoder,
            attention=attention,
            lora=asked.lora,
        )
        open_generations(system, model, asked, output, processes)
        made = make_generations(system, asked, output, processes)
    if processes.rank != 0:  # the first process speaks for all
        return
    typer.echo(
        f"{output}: {len(made)} of {len(asked.prompts)} captions, "
        f"{seconds_of(asked, system):.2f} s each"
    )
    if system.window_seconds < asked.protocol.seconds:
        typer.echo(
            f"warning: {asked.protocol.seconds:g} s are asked for, which is more than the model's "
            "window"
        )

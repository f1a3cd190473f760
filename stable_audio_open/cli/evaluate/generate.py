"""`stable-audio-open evaluate generate`: what a model makes of a data set's captions."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.evaluate import options as shared
from stable_audio_open.cli.printing import echo


def generate(
    model: shared.Model,
    *,
    prompts: shared.Prompts,
    protocol: shared.ProtocolName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the generations.")
    ],
    subset: shared.Subset = "all",
    limit: shared.Limit = None,
    seed: shared.Seed = 0,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    sampler: shared.Sampler = None,
    batch: shared.Batch = 1,
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
    guidance: options.Guidance = None,
) -> None:
    """Generate one file for each caption, named by it and as long as the paper's.

    An interrupted run goes on where it stopped. torchrun shares it out over GPUs.
    """
    import logging

    from stable_audio_open.jobs.protocol.request import GenerationsRequest
    from stable_audio_open.jobs.protocol.run import run_generations

    request = GenerationsRequest(
        model=model,
        prompts=prompts,
        protocol=protocol,
        output=output,
        subset=subset,
        limit=limit,
        seed=seed,
        steps=steps,
        guidance_scale=parsing.guidance_scale(guidance_scale, guidance),
        sampler=sampler,
        batch=batch,
        text_encoder=text_encoder,
        lora=tuple(parsing.merged_adapters(lora)),
        device=device,
        dtype=dtype,
        attention=attention,
    )
    options.use_threads(threads)
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    run_generations(request, tell=echo)

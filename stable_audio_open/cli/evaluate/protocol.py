"""`stable-audio-open evaluate protocol`: generation, metrics and report in one go."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.evaluate import options as shared
from stable_audio_open.cli.evaluate.report import Players
from stable_audio_open.cli.printing import echo


def protocol(
    model: shared.Model,
    *,
    prompts: shared.Prompts,
    protocol: shared.ProtocolName,
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Reference recordings, named by youtube_id or audiocap_id, or by track_id; not "
            "needed where published statistics stand for them.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of all that is made.")
    ],
    part: Annotated[
        Literal["both", "generation", "autoencoder"],
        typer.Option(help="Tables 1, 2, 5 and 6; tables 3, 4 and 7; or all."),
    ] = "both",
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Go on without the references that are not there, as the paper did without 94 of "
            "AudioCaps.",
        ),
    ] = False,
    subset: shared.Subset = "all",
    limit: shared.Limit = None,
    seed: shared.Seed = 0,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    sampler: shared.Sampler = None,
    batch: shared.Batch = 1,
    players: Players = 8,
    frechet: Annotated[
        str | None,
        typer.Option(
            metavar="openl3:FILE.h5",
            help="Embedder of the Frechet distance, any of `evaluate frechet`; the paper's is "
            "OpenL3, env for AudioCaps, music for Song Describer.",
        ),
    ] = None,
    kl: Annotated[
        str | None,
        typer.Option(
            metavar="passt:FILE.pt",
            help="Tagger of KL, any of `evaluate kl`; the paper's is PaSST.",
        ),
    ] = None,
    clap: Annotated[
        str | None,
        typer.Option(metavar="clap:FILE.pt", help="Embedder of the CLAP score."),
    ] = None,
    frechet_reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Statistics of the references (mu_ref, sigma_ref), as the authors of the paper's "
            "metrics publish them; of the captions of --subset.",
        ),
    ] = None,
    kl_reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pkl",
            help="Probabilities of the references, as they publish them; nothing in it is run.",
        ),
    ] = None,
    listeners_device: Annotated[
        str, typer.Option(metavar="cpu|cuda", help="Where these networks compute.")
    ] = "cpu",
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
    guidance: options.Guidance = None,
) -> None:
    """Evaluate a model as the paper does, and write the tables with our rows.

    What is made stays in the folder, and an interrupted run goes on where it stopped. torchrun
    shares out what the model makes over GPUs.
    """
    import logging

    from stable_audio_open.jobs.protocol.request import ProtocolRequest
    from stable_audio_open.jobs.protocol.run import run_protocol

    request = ProtocolRequest(
        model=model,
        prompts=prompts,
        protocol=protocol,
        references=references,
        frechet_reference=frechet_reference,
        kl_reference=kl_reference,
        output=output,
        part=part,
        allow_missing=allow_missing,
        subset=subset,
        limit=limit,
        seed=seed,
        steps=steps,
        guidance_scale=parsing.guidance_scale(guidance_scale, guidance),
        sampler=sampler,
        batch=batch,
        players=players,
        frechet=frechet,
        kl=kl,
        clap=clap,
        metrics_device=listeners_device,
        text_encoder=text_encoder,
        lora=tuple(parsing.merged_adapters(lora)),
        device=device,
        dtype=dtype,
        attention=attention,
    )
    options.use_threads(threads)
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    run_protocol(request, tell=echo)

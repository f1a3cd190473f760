"""`stable-audio-open evaluate protocol`: generation, metrics and report in one go."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.evaluate import options as shared
from stable_audio_open.cli.evaluate.report import Players


def protocol(
    model: shared.Model,
    prompts: shared.Prompts,
    protocol: shared.ProtocolName,
    references: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Reference recordings, named by youtube_id or audiocap_id, or by track_id.",
        ),
    ],
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
    steps: shared.Steps = 100,
    guidance: shared.Guidance = 7.0,
    sampler: shared.Sampler = "dpmpp-2m",
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
    listeners_device: Annotated[
        str, typer.Option(metavar="cpu|cuda", help="Where these networks compute.")
    ] = "cpu",
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Evaluate a model as the paper does, and write the tables with our rows.

    What is made stays in the folder, and an interrupted run goes on where it stopped. torchrun
    shares out what the model makes over GPUs.
    """
    import logging
    from functools import partial

    from stable_audio_open.data.processes import joined_processes
    from stable_audio_open.evaluation.protocols.references import (
        check_references,
        find_references,
        refuse_missing,
    )
    from stable_audio_open.jobs.protocol.make import device_of
    from stable_audio_open.jobs.protocol.metrics import load_metrics
    from stable_audio_open.jobs.protocol.request import check_asked
    from stable_audio_open.jobs.protocol.run import check_places, run_protocol
    from stable_audio_open.pretrained import load

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
    found = find_references(references, asked.chosen)
    refuse_missing(references, asked.chosen, found, allowed=allow_missing)
    check_references(found)
    check_places(output)
    options.use_threads(threads)
    logging.getLogger("stable_audio_open").setLevel(logging.INFO)
    with joined_processes() as processes:
        # The first process alone measures; what is wrong with a network is told before any work.
        metrics = processes.in_first(
            partial(load_metrics, frechet=frechet, kl=kl, clap=clap, device=listeners_device)
        )
        loaded = load(
            model,
            device=device_of(device, processes),
            dtype=dtype,
            text_encoder=text_encoder,
            attention=attention,
            lora=asked.lora,
        )
        run_protocol(
            loaded,
            model,
            asked,
            found,
            output,
            processes,
            part=part,
            players=players,
            metrics=metrics or {},
            tell=typer.echo,
        )

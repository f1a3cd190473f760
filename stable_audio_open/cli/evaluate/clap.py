"""`stable-audio-open evaluate clap`: how well recordings go with their prompts."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo


def clap(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="Folder of the recordings.")],
    *,
    prompts: Annotated[
        Path, typer.Option(metavar="CSV", help="Columns id (file name without suffix) and prompt.")
    ],
    embedder: Annotated[
        str, typer.Option(metavar="clap:FOLDER|FILE.pt", help="An embedder of both audio and text.")
    ],
    crop: Annotated[
        float | None,
        typer.Option(
            help="Seconds that are taken of longer recordings, from a random place.",
            show_default="10, or what the model fuses",
        ),
    ] = None,
    seed: shared.Seed = 0,
    allow_missing: shared.AllowMissing = False,
    output: shared.Output = None,
    device: shared.Device = "cpu",
) -> None:
    """CLAP score: mean cosine between recordings and their prompts."""
    from stable_audio_open.audio_models.registry import JOINT_EMBEDDERS
    from stable_audio_open.evaluation.clap import evaluate_clap, read_prompts

    shared.check_output(output)
    texts = read_prompts(prompts)
    model = JOINT_EMBEDDERS.load(embedder, device=device)
    result = evaluate_clap(
        audio,
        texts,
        model,
        source=str(prompts),
        seed=seed,
        crop=crop,
        allow_missing=allow_missing,
    )
    echo(f"CLAP score {result.score:.6f} ({len(result.per_prompt)} prompts, {result.files} files)")
    shared.report(result, output)

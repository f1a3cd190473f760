"""`stable-audio-open evaluate kl`: what a tagger finds in pairs of recordings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo


def kl(
    generated: shared.Generated,
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE",
            help="Folder of recordings of the same ids, or a pickle of their probabilities, as the "
            "authors of the paper's metrics publish them; nothing in it is run.",
        ),
    ],
    *,
    tagger: Annotated[
        str,
        typer.Option(
            metavar="passt:FILE|panns:FILE|musicnn",
            help="PaSST's checkpoint (as in the paper), PANNs' Cnn14 or musicnn.",
        ),
    ],
    definition: Annotated[
        Literal["paper", "reverse", "windows", "reverse-windows"],
        typer.Option(
            help="KL(generated || reference) or the reverse; softmax of mean logits, or of windows."
        ),
    ] = "paper",
    epsilon: Annotated[float, typer.Option(min=0, help="Added to the second distribution.")] = 1e-6,
    allow_missing: shared.AllowMissing = False,
    output: shared.Output = None,
    device: shared.Device = "cpu",
) -> None:
    """Mean KL divergence between a tagger's classes, recording by recording."""
    import msgspec

    from stable_audio_open.audio_models.registry import TAGGERS
    from stable_audio_open.evaluation.kl import DEFINITIONS, evaluate_kl

    shared.check_output(output)
    result = evaluate_kl(
        generated,
        reference,
        TAGGERS.load(tagger, device=device),
        definition=msgspec.structs.replace(DEFINITIONS[definition], epsilon=epsilon),
        allow_missing=allow_missing,
    )
    echo(f"KL divergence {result.divergence:.6f} ({result.files} files, {result.classes} classes)")
    shared.report(result, output)

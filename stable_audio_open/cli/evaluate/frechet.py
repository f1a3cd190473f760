"""`stable-audio-open evaluate frechet`: how far a set is from a reference set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.evaluation.frechet.distance import FrechetResult

SHOWN = 3


def frechet(
    generated: shared.Generated,
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE",
            help="Folder of recordings, or their statistics: what --cache made, or an .npz with "
            "mu_ref and sigma_ref, as the authors of the paper's metrics publish them.",
        ),
    ],
    *,
    embedder: Annotated[
        str, typer.Option(metavar="NAME", help="Such as clap:FOLDER or musicnn[:WEIGHTS].")
    ],
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="SAFETENSORS", help="Statistics of the reference: read, or made where missing."
        ),
    ] = None,
    channels: Annotated[
        Literal["stereo", "mono"],
        typer.Option(help="Join the embeddings of left and right, as the paper does, or mix."),
    ] = "stereo",
    points: Annotated[
        int | None,
        typer.Option(
            help="Subsets that extrapolate to infinitely many windows, with 4 windows for each at "
            "least; 0 for none.",
            show_default="15, none below 60 windows",
        ),
    ] = None,
    seed: shared.Seed = 0,
    allow_missing: shared.AllowMissing = False,
    output: shared.Output = None,
    device: shared.Device = "cpu",
) -> None:
    """Frechet distance between the embeddings of two sets of recordings."""
    from stable_audio_open.audio_models.registry import EMBEDDERS
    from stable_audio_open.evaluation.frechet.distance import evaluate_frechet

    shared.check_output(output)
    if cache is not None and not cache.exists():
        shared.check_output(cache)
    result = evaluate_frechet(
        generated,
        reference,
        EMBEDDERS.load(embedder, device=device),
        channels=channels,
        cache=cache,
        allow_missing=allow_missing,
        points=points,
        seed=seed,
    )
    echo(
        f"Frechet distance {result.distance:.6g} ({result.files} files, {result.windows} windows; "
        f"reference {_told(result)})"
    )
    if result.extrapolated:
        found = result.extrapolated
        doubt = "; below 0: the sets share recordings, or it is noise" * (found.distance < 0)
        echo(f"with infinitely many windows {found.distance:.6g} (R2 {found.r_squared:.3f}{doubt})")
    most = sorted(result.contributions.items(), key=lambda entry: -entry[1])[:SHOWN]
    echo("raised most by " + ", ".join(f"{name} ({share:+.3g})" for name, share in most))
    if result.caution:
        echo(f"caution: {result.caution}")
    shared.report(result, output)


def _told(result: "FrechetResult") -> str:
    if result.reference_files is None:
        return f"{result.reference}, which does not tell its files"
    return f"{result.reference_files} files, {result.reference_windows} windows"

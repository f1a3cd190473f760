"""`stable-audio-open evaluate kad`: how far a set is from a reference set, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.evaluation.kernel_distance.distance import (
        Interval,
        KernelDistanceResult,
        OtherSet,
    )


def kad(
    generated: shared.Generated,
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE", help="Folder of the recordings that they are compared with."
        ),
    ],
    *,
    embedder: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Such as clap:FOLDER, musicnn[:WEIGHTS] or mean-log-mel."
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER",
            help="Folder of another set: how much nearer to the reference it is, or farther.",
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Columns id and group: generations of one group, such as those of a caption, are "
            "resampled together and not compared with each other. The id of a reference is its "
            "group.",
        ),
    ] = None,
    channels: Annotated[
        Literal["stereo", "mono"],
        typer.Option(help="Join the embeddings of left and right, or mix."),
    ] = "stereo",
    resamples: Annotated[
        int, typer.Option(help="Resamples of the recordings, 100 to 100,000.")
    ] = 1000,
    confidence: Annotated[
        float, typer.Option(help="Share of the intervals that hold the true distance.")
    ] = 0.95,
    seed: shared.Seed = 0,
    allow_missing: shared.AllowMissing = False,
    output: shared.Output = None,
    device: shared.Device = "cpu",
) -> None:
    """Kernel distance (KAD) between the embeddings of two sets of recordings, with its interval."""
    from stable_audio_open.jobs.kernel_distance import (
        KernelDistanceRequest,
        measure_kernel_distance,
    )

    shared.check_output(output)
    result = measure_kernel_distance(
        KernelDistanceRequest(
            generated=generated,
            reference=reference,
            embedder=embedder,
            against=against,
            groups=groups,
            channels=channels,
            allow_missing=allow_missing,
            resamples=resamples,
            confidence=confidence,
            seed=seed,
            device=device,
        )
    )
    grouped = "" if result.groups is None else f" in {result.groups} groups"
    echo(
        f"kernel distance {_told(result.kernel_distance)} ({result.files} files{grouped}, "
        f"{result.windows} windows; reference {result.reference_files} files, "
        f"{result.reference_windows} windows)"
    )
    if result.against is not None:
        _tell_other(result, result.against)
    echo(f"intervals of {100 * result.confidence:g} %, {result.resamples} resamples")
    if result.caution:
        echo(f"caution: {result.caution}")
    shared.report(result, output)


def _told(found: "Interval") -> str:
    return f"{found.value:.6g} [{found.low:.6g}, {found.high:.6g}]"


def _tell_other(result: "KernelDistanceResult", other: "OtherSet") -> None:
    echo(
        f"that of {other.audio} {_told(other.distance)} ({other.files} files, {other.windows} "
        f"windows; {other.paired} of them paired)"
    )
    nearer = result.audio if other.difference.value < 0 else other.audio
    verdict = f"leaves out 0: {nearer} is nearer" if other.leaves_out_0 else "holds 0"
    echo(f"difference {_told(other.difference)}, which {verdict}")
    for word, ids in (("missing", other.missing), ("extra", other.extra)):
        if ids:
            echo(f"{word} of {other.audio}: {len(ids)} ids, {ids[0]!r} first")
    if other.silent:
        echo(
            f"warning: {len(other.silent)} of {other.files} recordings of {other.audio} are "
            f"silent, {other.silent[0]!r} first"
        )

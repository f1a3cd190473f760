"""`stable-audio-open evaluate sanity`: plain facts about a set of recordings."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.evaluate import output as shared
from stable_audio_open.cli.printing import echo


def sanity(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the recordings.")],
    output: shared.Output = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where recordings are silent or clipped.")
    ] = False,
) -> None:
    """Loudness, bandwidth and stereo width; silent and clipped recordings."""
    from stable_audio_open.evaluation.sanity import evaluate_sanity

    shared.check_output(output)
    result = evaluate_sanity(folder)
    echo(
        f"{result.files} files: {len(result.silent)} silent, {len(result.clipped)} clipped, "
        f"{len(result.mono)} mono"
    )
    for name, value, unit in (
        ("length", result.median_seconds, "s"),
        ("loudness", result.median_loudness, "LUFS"),
        ("99 % of the energy below", result.median_rolloff, "Hz"),
        ("bandwidth", result.median_bandwidth, "Hz"),
        ("stereo width", result.median_width, ""),
    ):
        shown = "none" if value is None else f"{value:.5g} {unit}".rstrip()
        echo(f"median {name}: {shown}")
    for fault in result.faults:
        echo(f"fault: {fault}")
    shared.report(result, output)
    if strict and result.faults:
        raise ValueError(f"{folder}: {result.faults[0]}")

"""Options and lines that the commands share, and the JSON that they leave."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli.printing import echo

if TYPE_CHECKING:
    from stable_audio_open.evaluation.result import Result

Generated = Annotated[
    Path, typer.Argument(metavar="GENERATED", help="Folder of the recordings that are judged.")
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Ids (file names without suffix) may be in one folder alone."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="JSON", help="File for the result, with all details."),
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to compute.")]
Seed = Annotated[int, typer.Option(help="Seed of what is drawn.")]


def check_output(output: Path | None) -> None:
    """Check that the result can be written, before the work.

    Raises:
        ValueError: It is a folder, or its folder is missing.
        AudioSaveError: Nothing can be written there.
    """
    if output is None:
        return
    from stable_audio_open.audio.writing.places import check_folder

    if output.is_dir():
        raise ValueError(f"{output}: is a folder; name a file for the result, such as result.json")
    if not output.parent.is_dir():
        raise ValueError(
            f"{output}: the folder {output.parent} does not exist; create it or choose another one"
        )
    check_folder(output.parent)


def report(result: "Result", output: Path | None) -> None:
    """Print what every result has, and write the file that was asked for."""
    from stable_audio_open.evaluation.result import to_json
    from stable_audio_open.files.atomic import replace_bytes

    echo(f"definition: {result.definition}")
    if result.checkpoint is not None:
        echo(f"checkpoint: {result.checkpoint}, weights {result.checkpoint_hash or 'none'}")
    for word, ids in (("missing", result.missing), ("extra", result.extra)):
        if ids:
            echo(f"{word}: {len(ids)} ids, {ids[0]!r} first")
    if result.silent:
        echo(
            f"warning: {len(result.silent)} of {result.files} recordings are silent, "
            f"{result.silent[0]!r} first"
        )
    if output is not None:
        replace_bytes(output, to_json(result))

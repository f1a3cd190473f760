"""The steps of `evaluate protocol`: make, compare, report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import typer

from stable_audio_open.audio.replace import replace_bytes
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.cli.evaluate.asked import Asked
from stable_audio_open.cli.evaluate.making import (
    clips_of,
    make_generations,
    make_originals,
    make_reconstructions,
    seconds_of,
)
from stable_audio_open.cli.evaluate.measuring import measure_subsets
from stable_audio_open.data.processes import Processes
from stable_audio_open.evaluation.protocols.comparisons import Metric
from stable_audio_open.evaluation.protocols.made import Item, make_missing
from stable_audio_open.evaluation.protocols.references import missing_references
from stable_audio_open.evaluation.protocols.sources import follow_sources
from stable_audio_open.evaluation.protocols.work import cut
from stable_audio_open.evaluation.report.published import Kind
from stable_audio_open.evaluation.report.tables import read_runs
from stable_audio_open.evaluation.report.writing import write_report
from stable_audio_open.pretrained import StableAudio

GENERATIONS, RECONSTRUCTIONS = "generations", "reconstructions"
REFERENCES, ORIGINALS, COMPARISONS = "references", "originals", "comparisons"
MISSING = "missing_references.txt"

Part = Literal["both", "generation", "autoencoder"]


def run_protocol(
    model: StableAudio | AudioAutoencoder,
    name: str,
    asked: Asked,
    references: Mapping[str, Path],
    output: Path,
    processes: Processes,
    *,
    part: Part,
    players: int,
    metrics: Mapping[str, Metric],
) -> None:
    """Make what is missing, measure it and write the report; the first process alone measures.

    Args:
        model: Of an autoencoder alone, the tables of autoencoders are all there are.
        name: As it was asked for.
        asked: Prompts and sampling.
        references: File of each clip that has one.
        output: Folder of everything.
        processes: That share the making.
        part: Which tables.
        players: Files to hear on the page.
        metrics: By the names of their results.

    Raises:
        ValueError: Generations of an autoencoder alone are asked for, or a folder holds files that
            were made otherwise.
    """
    runs = []
    if isinstance(model, StableAudio):
        autoencoder = model.autoencoder
        if part != "autoencoder":
            runs.append(_generate(model, name, asked, references, output, processes))
    else:
        autoencoder = model
        if part == "generation":
            raise ValueError(f"{name} is an autoencoder alone; give --part autoencoder")
    if part != "generation":
        runs.append(_reconstruct(autoencoder, name, asked, references, output, processes))
    if processes.rank != 0:
        return
    _list_missing(asked, references, output)
    for kind, folder, items, compared in runs:
        found = measure_subsets(
            kind,
            asked,
            items,
            compared,
            folder=folder,
            scratch=output / COMPARISONS,
            metrics=metrics,
        )
        for subset, files, unpaired, results in found:
            without = f", {unpaired} without a reference" if unpaired else ""
            names = ", ".join(path.stem for path in results) or "nothing measured"
            typer.echo(f"{folder}, {subset}: {files} files{without}; {names}")
    folders = [folder for _, folder, _, _ in runs]
    for path in write_report(output, read_runs(folders), players=players):
        typer.echo(str(path))


_Run = tuple[Kind, Path, Sequence[Item], Mapping[str, Path]]
"""What was made, where, and what it is compared with."""


def _generate(
    system: StableAudio,
    name: str,
    asked: Asked,
    references: Mapping[str, Path],
    output: Path,
    processes: Processes,
) -> _Run:
    folder = output / GENERATIONS
    made = make_generations(system, name, asked, folder, processes)
    if processes.rank != 0:
        return "generation", folder, made, {}
    seconds, place = seconds_of(asked, system), output / REFERENCES
    clips = clips_of(asked, references)
    place.mkdir(exist_ok=True)
    follow_sources(place, clips, references)
    make_missing(place, clips, lambda group: cut(references, group, seconds), batch=1)
    return "generation", folder, made, {item.clip: place / item.file for item in clips}


def _reconstruct(
    autoencoder: AudioAutoencoder,
    name: str,
    asked: Asked,
    references: Mapping[str, Path],
    output: Path,
    processes: Processes,
) -> _Run:
    folder = output / RECONSTRUCTIONS
    made = make_reconstructions(autoencoder, name, asked, references, folder, processes)
    if processes.rank != 0:
        return "reconstruction", folder, made, {}
    clips = clips_of(asked, references)
    originals = make_originals(autoencoder, clips, references, output / ORIGINALS)
    return "reconstruction", folder, made, originals


def _list_missing(asked: Asked, references: Mapping[str, Path], output: Path) -> None:
    """Leave a list of the references that are not there; none where all are."""
    missing = missing_references(asked.chosen, references)
    path = output / MISSING
    path.unlink(missing_ok=True)
    if missing:
        replace_bytes(path, "".join(f"{clip}\n" for clip in missing).encode())
        typer.echo(f"{path}: {len(missing)} references are missing")

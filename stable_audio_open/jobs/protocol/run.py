"""The steps of `evaluate protocol`: make, compare, report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from stable_audio_open.audio.saving import check_folder
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.data.processes import Processes
from stable_audio_open.evaluation.generations.sets import Item
from stable_audio_open.evaluation.protocols.comparisons import Metric
from stable_audio_open.evaluation.protocols.references import missing_references
from stable_audio_open.evaluation.report.published import Kind
from stable_audio_open.evaluation.report.results import read_result
from stable_audio_open.evaluation.report.tables import read_runs
from stable_audio_open.evaluation.report.writing import write_report
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.jobs.protocol.make import (
    cut_references,
    make_generations,
    make_reconstructions,
    open_generations,
    open_reconstructions,
    seconds_of,
)
from stable_audio_open.jobs.protocol.measure import measure_subsets
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.pretrained import StableAudio

GENERATIONS, RECONSTRUCTIONS = "generations", "reconstructions"
REFERENCES, COMPARISONS = "references", "comparisons"
MISSING = "missing_references.txt"

Part = Literal["both", "generation", "autoencoder"]


def check_places(output: Path) -> None:
    """Check that all folders can be made or written to.

    Raises:
        AudioSaveError: One cannot.
    """
    check_folder(output)
    for name in (GENERATIONS, RECONSTRUCTIONS, REFERENCES, COMPARISONS):
        if (output / name).exists():
            check_folder(output / name)


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
    tell: Callable[[str], None],
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
        tell: Takes what was found, line by line.

    Raises:
        ValueError: Generations of an autoencoder alone are asked for, or a folder holds files that
            were made otherwise.
    """
    # What can be refused comes before the long work: folders of other files, damaged references.
    waiting = []
    if isinstance(model, StableAudio):
        autoencoder = model.autoencoder
        if part != "autoencoder":
            waiting.append(_generations(model, name, asked, references, output, processes))
    else:
        autoencoder = model
        if part == "generation":
            raise ValueError(f"{name} is an autoencoder alone; give --part autoencoder")
    if part != "generation":
        waiting.append(_reconstructions(autoencoder, name, asked, references, output, processes))
    # Reconstructions first: they take less long, and find references that are damaged inside.
    runs = [make() for make in reversed(waiting)][::-1]
    if processes.rank != 0:
        return
    _list_missing(asked, references, output, tell)
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
        for subset, files, unpaired, results, unmeasured in found:
            without = f", {unpaired} without a reference" if unpaired else ""
            names = ", ".join(path.stem for path in results) or "nothing measured"
            tell(f"{folder}, {subset}: {files} files{without}; {names}")
            silent = max(
                (
                    measurement.silent
                    for path in results
                    for measurement in read_result(path, subset, asked.protocol.name)
                ),
                default=0,
            )
            if silent:
                tell(f"warning: {silent} of {files} files are silent")
            for metric, reason in unmeasured.items():
                tell(f"warning: no {metric} of {subset}: {reason}")
    folders = [folder for _, folder, _, _ in runs]
    for path in write_report(output, read_runs(folders), players=players):
        tell(str(path))


_Run = tuple[Kind, Path, Sequence[Item], Mapping[str, Path]]
"""What was made, where, and what it is compared with."""


def _generations(
    system: StableAudio,
    name: str,
    asked: Asked,
    references: Mapping[str, Path],
    output: Path,
    processes: Processes,
) -> Callable[[], _Run]:
    """Prepare folder and references, and return what generates."""
    folder = output / GENERATIONS
    open_generations(system, name, asked, folder, processes)
    seconds = seconds_of(asked, system)
    compared = cut_references(seconds, asked, references, output / REFERENCES, processes)

    def make() -> _Run:
        return "generation", folder, make_generations(system, asked, folder, processes), compared

    return make


def _reconstructions(
    autoencoder: AudioAutoencoder,
    name: str,
    asked: Asked,
    references: Mapping[str, Path],
    output: Path,
    processes: Processes,
) -> Callable[[], _Run]:
    """Prepare the folder, and return what reconstructs."""
    folder = output / RECONSTRUCTIONS
    open_reconstructions(autoencoder, name, asked, folder, processes)

    def make() -> _Run:
        made = make_reconstructions(autoencoder, asked, references, folder, processes)
        return "reconstruction", folder, made, references

    return make


def _list_missing(
    asked: Asked, references: Mapping[str, Path], output: Path, tell: Callable[[str], None]
) -> None:
    """Leave a list of the references that are not there; none where all are."""
    missing = missing_references(asked.chosen, references)
    path = output / MISSING
    path.unlink(missing_ok=True)
    if missing:
        replace_bytes(path, "".join(f"{clip}\n" for clip in missing).encode())
        tell(f"{path}: {len(missing)} references are missing")

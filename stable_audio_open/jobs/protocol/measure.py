"""The comparisons that the paper's tables ask for, measured one by one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.evaluation.protocols.comparisons import (
    NOTHING,
    Compared,
    FolderMetric,
    compare,
    forget_results,
    write_comparison,
)
from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.report.published import wanted
from stable_audio_open.jobs.protocol.make import MadeSet
from stable_audio_open.jobs.protocol.request import COMPARISONS, Asked


class MeasuredFolders(NamedTuple):
    """What came of one subset of what was made."""

    folder: Path
    """Folder of the files that were compared."""
    subset: str
    """Name of the subset."""
    files: int
    """Number of files that were compared."""
    unpaired: int
    """Number of these files without a reference."""
    found: Compared
    """What the metrics found."""


def measure_sets(
    sets: Sequence[MadeSet], asked: Asked, metrics: Mapping[str, FolderMetric]
) -> Iterator[MeasuredFolders]:
    """Measure the subsets that the paper's tables show, each by the metrics of its tables.

    Of captions that are of a subset already, that subset alone is measured.

    Args:
        sets: What was made; the results go to its folders.
        asked: The captions; those chosen count.
        metrics: By name.
    """
    for made in sets:
        for subset, figures in wanted(made.kind, asked.protocol.name).items():
            if asked.request.subset in (ALL, subset):
                fitting = {k: one for k, one in metrics.items() if {*one.finds} & {*figures}}
                yield _measure(made, asked, subset, fitting)


def _measure(
    made: MadeSet, asked: Asked, subset: str, metrics: Mapping[str, FolderMetric]
) -> MeasuredFolders:
    protocol = asked.protocol
    kept = protocol.subset(subset, asked.chosen)
    ids = {prompt.id if made.kind == "generation" else prompt.clip for prompt in kept}
    files = [one for one in made.files if one.id in ids]
    unpaired = sum(one.clip not in made.references for one in files)
    if len(files) == unpaired and asked.without_recordings:
        unpaired = 0
        metrics = {name: one for name, one in metrics.items() if not one.needs_references}
    if len(files) == unpaired:
        forget_results(made.folder, subset)
        return MeasuredFolders(made.folder, subset, len(files), unpaired, NOTHING)
    comparison = write_comparison(
        asked.request.output / COMPARISONS / f"{made.kind}-{subset}",
        files,
        made=made.folder,
        references=made.references,
        protocol=protocol.name,
        subset=subset,
    )
    found = compare(comparison, metrics, folder=made.folder, subset=subset)
    return MeasuredFolders(made.folder, subset, len(files), unpaired, found)

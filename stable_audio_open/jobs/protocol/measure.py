"""The comparisons that the paper's tables ask for, measured one by one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.evaluation.generations.sets import Item
from stable_audio_open.evaluation.protocols.comparisons import (
    Metric,
    compare,
    forget_results,
    write_comparison,
)
from stable_audio_open.evaluation.protocols.protocol import ALL, Prompt
from stable_audio_open.evaluation.report.published import Kind, wanted
from stable_audio_open.evaluation.result import UnmeasurableError
from stable_audio_open.jobs.protocol.request import Asked


class Measured(NamedTuple):
    """What came of one subset."""

    subset: str
    files: int
    """That were compared."""
    unpaired: int
    """Of them, those without a reference."""
    results: tuple[Path, ...]
    unmeasured: Mapping[str, str]
    """Why there is no result, by metric: its recordings give no figure."""


def measure_subsets(
    kind: Kind,
    asked: Asked,
    items: Sequence[Item],
    references: Mapping[str, Path],
    *,
    folder: Path,
    scratch: Path,
    metrics: Mapping[str, Metric],
) -> Iterator[Measured]:
    """Measure the subsets that the paper's tables show, each by the metrics of its tables.

    Of prompts that are of a subset already, that subset alone is measured.

    Args:
        kind: What the items are.
        asked: The prompts; those chosen count.
        items: What was made.
        references: File of each clip that has one, by clip.
        folder: Of the items; the results go there too.
        scratch: Where the compared folders are laid out.
        metrics: By name.
    """
    for subset, names in wanted(kind, asked.protocol.name).items():
        if asked.subset not in (ALL, subset):
            continue
        kept = asked.protocol.subset(subset, asked.chosen)
        ids = {_id(kind, prompt) for prompt in kept}
        compared = [item for item in items if item.id in ids]
        unpaired = sum(item.clip not in references for item in compared)
        if len(compared) == unpaired:
            forget_results(folder, subset)
            yield Measured(subset, len(compared), unpaired, (), {})
            continue
        comparison = write_comparison(
            scratch / f"{kind}-{subset}",
            compared,
            made=folder,
            references=references,
            protocol=asked.protocol.name,
        )
        fitting = {k: metric for k, metric in metrics.items() if {*metric.finds} & {*names}}
        written = compare(comparison, {}, folder=folder, subset=subset)  # makes its folder ready
        unmeasured = {}
        for name, metric in fitting.items():
            try:
                written += compare(comparison, {name: metric}, folder=folder, subset=subset)
            except UnmeasurableError as error:  # of a slice; the other metrics are none the worse
                unmeasured[name] = str(error)
        yield Measured(subset, len(compared), unpaired, tuple(written), unmeasured)


def _id(kind: Kind, prompt: Prompt) -> str:
    return prompt.id if kind == "generation" else prompt.clip

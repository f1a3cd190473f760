"""The folders that metrics compare: a subset of what was made, and its references."""

import csv
import io
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from stable_audio_open.evaluation.generations.sets import RESULTS, SetFile
from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.result import UnmeasurableError
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.tables import harmless

COMPARED = "compared.txt"


class ProtocolComparison(NamedTuple):
    """Folders of recordings, whose names without suffix are identifiers."""

    made: Path
    """What is judged."""
    references: Path
    """The recordings that it is compared with, each once."""
    pairs: Path
    """The same under the identifiers of `made`, so that both folders match name by name.

    What has no reference is missing here."""
    prompts: Path
    """A table in CSV with the columns id and prompt."""
    protocol: str
    """Name of the data set."""
    subset: str
    """Name of the subset."""
    clips: Mapping[str, str]
    """Clip of each file of `made`, by identifier."""


class FolderMetric(NamedTuple):
    """A measure of two folders."""

    finds: tuple[str, ...]
    """Figures that it finds, as the published tables name them."""
    measure: Callable[[ProtocolComparison], bytes]
    """A comparison to a result in JSON, which `evaluation.report.results` must be able to read."""
    needs_references: bool = True
    """Whether it compares with the recordings of the references."""


class _Silent(msgspec.Struct):
    """The silent files in a result."""

    silent: tuple[str, ...] = ()


class Compared(NamedTuple):
    """What came of a comparison."""

    results: tuple[Path, ...]
    """JSON of each metric that found something."""
    silent: int
    """Number of silent files, as the metrics count them."""
    unmeasured: Mapping[str, str]
    """Why there is no result, by metric: these recordings give no figure."""


NOTHING = Compared((), 0, {})
"""What comes of files without references."""


def compare(
    comparison: ProtocolComparison,
    metrics: Mapping[str, FolderMetric],
    *,
    folder: Path,
    subset: str,
) -> Compared:
    """Measure, and keep each result as `folder/results/SUBSET/METRIC.json`.

    Results of metrics that are not measured now stay if they are of the very same files.
    """
    results = folder / RESULTS / subset
    files = _files(comparison)
    if not _holds(results / COMPARED, files):
        forget_results(folder, subset)
        results.mkdir(parents=True)
        replace_bytes(results / COMPARED, files)
    written, silent, unmeasured = list[Path](), 0, dict[str, str]()
    for name, metric in metrics.items():
        path = results / f"{name}.json"
        path.unlink(missing_ok=True)  # were it to fail, what an earlier run found would stay
        try:
            found = metric.measure(comparison)
        except UnmeasurableError as error:  # the other metrics are none the worse
            unmeasured[name] = str(error)
            continue
        replace_bytes(path, found)
        written.append(path)
        silent = max(silent, len(msgspec.json.decode(found, type=_Silent).silent))
    return Compared(tuple(written), silent, unmeasured)


def forget_results(folder: Path, subset: str) -> None:
    """Remove what was found of a subset before."""
    shutil.rmtree(folder / RESULTS / subset, ignore_errors=True)


def _files(comparison: ProtocolComparison) -> bytes:
    """Return the names, sizes and times of all that is compared, which links and copies keep."""
    lines = []
    for part in (comparison.made, comparison.references, comparison.pairs):
        for path in sorted(part.iterdir()):
            status = path.stat()
            lines.append(f"{part.name}/{path.name} {status.st_size} {status.st_mtime_ns}\n")
    return "".join(lines).encode()


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def write_comparison(
    folder: Path,
    files: Sequence[SetFile],
    *,
    made: Path,
    references: Mapping[str, Path],
    protocol: str,
    subset: str = ALL,
) -> ProtocolComparison:
    """Lay out the folders of a comparison, of links where the disk has them, else of copies.

    Args:
        folder: Emptied first.
        files: What is judged.
        made: Folder of these files.
        references: File of each clip that has one.
        protocol: Name of the data set.
        subset: Name of the subset.
    """
    if folder.exists():
        shutil.rmtree(folder)
    comparison = ProtocolComparison(
        made=folder / "made",
        references=folder / "references",
        pairs=folder / "pairs",
        prompts=folder / "prompts.csv",
        protocol=protocol,
        subset=subset,
        clips={one.id: one.clip for one in files},
    )
    for path in (comparison.made, comparison.references, comparison.pairs):
        path.mkdir(parents=True)
    for one in files:
        _link(made / one.file, comparison.made / one.file)
        reference = references.get(one.clip)
        if reference is None:
            continue
        once = comparison.references / f"{one.clip}{reference.suffix}"
        if not once.exists():
            _link(reference, once)
        _link(reference, comparison.pairs / f"{one.id}{reference.suffix}")
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("id", "prompt"))
    rows.writerows(
        (harmless(one.id), harmless(one.prompt)) for one in files if one.prompt is not None
    )
    replace_bytes(comparison.prompts, text.getvalue().encode())
    return comparison


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)

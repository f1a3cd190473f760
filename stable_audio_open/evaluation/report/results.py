"""What the metrics found, from the JSON that they leave."""

from pathlib import Path

import msgspec

from stable_audio_open.evaluation.generations.sets import RESULTS
from stable_audio_open.evaluation.report.published import MEL, QUALITY, SI_SDR, STFT
from stable_audio_open.files.json_lines import NOT_JSON


class MeasuredFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A number, what it is of, and what found it."""

    metric: str
    """As the published tables name it where it is the paper's, else of its own name."""
    value: float
    subset: str
    files: int
    """That were measured."""
    definition: str
    references: int | None = None
    """Recordings of the other set, where sets are compared as such."""
    silent: int = 0
    """Of the files, those that never exceed -60 dB of full scale."""
    silent_originals: int = 0
    """Files that were left out for it."""
    caution: str | None = None
    """What to mind when the number is read."""
    by: str | None = None
    """Network behind it, checkpoint included; None where there is none."""
    by_hash: str | None = None
    missing: tuple[str, ...] = ()
    """Identifiers that the reference alone has."""
    extra: tuple[str, ...] = ()
    """Identifiers that have no reference."""


class _Means(msgspec.Struct, frozen=True):
    stft: float
    mel: float
    si_sdr: float


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are taken from a result; which figure it has tells the metrics apart."""

    definition: str
    files: int
    checkpoint: str | None = None
    checkpoint_hash: str | None = None
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    silent_originals: tuple[str, ...] = ()
    reference_files: int | None = None
    caution: str | None = None
    distance: float | None = None
    divergence: float | None = None
    score: float | None = None
    mean: _Means | None = None

    def figures(self, protocol: str) -> list[tuple[str, float]]:
        """Return metrics and values; the figure of another network is not the paper's metric."""
        values = (self.distance, self.divergence, self.score)
        found = []
        for paper, value in zip(QUALITY[protocol], values, strict=True):
            if value is not None:
                of_paper = paper.is_of(self.checkpoint or "", self.definition)
                found.append((paper.name if of_paper else paper.otherwise, value))
        if self.mean is not None:
            mean = self.mean
            found += [(STFT.name, mean.stft), (MEL.name, mean.mel), (SI_SDR.name, mean.si_sdr)]
        return found


def read_result(path: Path, subset: str, protocol: str) -> list[MeasuredFigure]:
    """Return the figures of one result.

    Args:
        path: The file.
        subset: That was measured.
        protocol: Whose metrics they may be.

    Raises:
        ValueError: The file holds none, or there is no such protocol.
    """
    try:
        result = msgspec.json.decode(path.read_bytes(), type=_Result)
    except NOT_JSON as error:
        raise ValueError(f"{path}: not the result of a metric ({error})") from error
    if protocol not in QUALITY:
        raise ValueError(
            f"{path}: of an unknown protocol {protocol!r}; known: {', '.join(QUALITY)}"
        )
    figures = result.figures(protocol)
    if not figures:
        raise ValueError(
            f"{path}: holds no figure; known are distance, divergence, score and mean (with stft, "
            "mel, si_sdr)"
        )
    return [
        MeasuredFigure(
            metric=metric,
            value=value,
            subset=subset,
            files=result.files,
            definition=result.definition,
            references=result.reference_files,
            silent=len(result.silent),
            silent_originals=len(result.silent_originals),
            caution=result.caution,
            by=result.checkpoint,
            by_hash=result.checkpoint_hash,
            missing=result.missing,
            extra=result.extra,
        )
        for metric, value in figures
    ]


def read_results(folder: Path, protocol: str) -> list[MeasuredFigure]:
    """Return all figures in `folder/results/SUBSET/METRIC.json`; none where there are no files.

    Raises:
        ValueError: A file cannot be read, or two hold the same metric of a subset.
    """
    found: dict[tuple[str, str], tuple[Path, MeasuredFigure]] = {}
    for path in sorted((folder / RESULTS).glob("*/*.json")):
        for measurement in read_result(path, path.parent.name, protocol):
            key = measurement.subset, measurement.metric
            other, _ = found.setdefault(key, (path, measurement))
            if other != path:
                raise ValueError(f"{path}: holds {measurement.metric}, as {other} does; remove one")
    return [measurement for _, measurement in found.values()]

"""What the metrics found, from the JSON that they leave."""

from pathlib import Path

import msgspec

from stable_audio_open.evaluation.protocols.comparisons import RESULTS
from stable_audio_open.evaluation.report.published import CLAP, FD, KL, MEL, SI_SDR, STFT


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A number, what it is of, and what found it."""

    metric: str
    """As the published tables name it where it is the paper's, else of its own name."""
    value: float
    subset: str
    files: int
    """That were measured."""
    definition: str
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
    caution: str | None = None
    distance: float | None = None
    divergence: float | None = None
    score: float | None = None
    mean: _Means | None = None

    def figures(self) -> list[tuple[str, float]]:
        """Return metrics and values; another network's figure is not the paper's metric."""
        network = (self.checkpoint or "").lower()
        found = [
            (paper.name if paper.network in network else paper.otherwise, value)
            for paper, value in ((FD, self.distance), (KL, self.divergence), (CLAP, self.score))
            if value is not None
        ]
        if self.mean is not None:
            mean = self.mean
            found += [(STFT.name, mean.stft), (MEL.name, mean.mel), (SI_SDR.name, mean.si_sdr)]
        return found


def read_result(path: Path, subset: str) -> list[Measurement]:
    """Return the figures of one result.

    Raises:
        ValueError: The file holds none.
    """
    try:
        result = msgspec.json.decode(path.read_bytes(), type=_Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not the result of a metric ({error})") from error
    figures = result.figures()
    if not figures:
        raise ValueError(
            f"{path}: holds no figure; known are distance, divergence, score and mean (with stft, "
            "mel, si_sdr)"
        )
    of_sets = result.distance is not None  # of which no file has a partner
    return [
        Measurement(
            metric=metric,
            value=value,
            subset=subset,
            files=result.files,
            definition=result.definition,
            caution=result.caution,
            by=result.checkpoint,
            by_hash=result.checkpoint_hash,
            missing=() if of_sets else result.missing,
            extra=() if of_sets else result.extra,
        )
        for metric, value in figures
    ]


def read_results(folder: Path) -> list[Measurement]:
    """Return all figures in `folder/results/SUBSET/METRIC.json`; none where there are no files.

    Raises:
        ValueError: A file cannot be read.
    """
    return [
        measurement
        for path in sorted((folder / RESULTS).glob("*/*.json"))
        for measurement in read_result(path, path.parent.name)
    ]

"""Our rows beside those of the paper."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from stable_audio_open.evaluation.generations.folder import SETTINGS
from stable_audio_open.evaluation.generations.sets import (
    GenerationSettings,
    SetFile,
    Settings,
    model_label,
    read_set_files,
    read_settings,
)
from stable_audio_open.evaluation.report.published import (
    TABLES,
    Kind,
    Metric,
    PublishedTable,
)
from stable_audio_open.evaluation.report.results import MeasuredFigure, read_results

SUBSETS = {
    "all": "all prompts",
    "no-speech": "no speech prompts",
    "no-connectors": "no connectors prompts",
    "no-speech-no-connectors": "no speech & connectors",
    "no-singing": "no singing",
}
"""Subsets in words."""


class ReportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of generations or reconstructions, and what was measured on it."""

    folder: str
    settings: Settings
    items: tuple[SetFile, ...]
    measurements: tuple[MeasuredFigure, ...]

    @property
    def model(self) -> str:
        """What made them, adapters included."""
        return model_label(self.settings)

    @property
    def kind(self) -> Kind:
        """What the folder holds."""
        return "generation" if isinstance(self.settings, GenerationSettings) else "reconstruction"


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row in the order of its table's columns."""

    model: str
    source: str
    about: tuple[str, ...]
    values: tuple[float | None, ...]
    """None where it was not measured."""
    ours: bool


class ReportTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the paper with our rows."""

    number: int
    title: str
    source: str
    about: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[ReportRow, ...]
    notes: tuple[str, ...]
    """On the rows, ours last."""


def read_runs(folders: Sequence[Path]) -> list[ReportedRun]:
    """Return the runs in folders, or in the folders right below them.

    Raises:
        ValueError: A folder holds none, or one that cannot be read.
    """
    found = []
    for folder in folders:
        below = sorted(path.parent for path in folder.glob(f"*/{SETTINGS}"))
        for path in [folder] if (folder / SETTINGS).exists() or not below else below:
            settings = read_settings(path)
            found.append(
                ReportedRun(
                    folder=str(path),
                    settings=settings,
                    items=tuple(read_set_files(path)),
                    measurements=tuple(read_results(path, settings.protocol)),
                )
            )
    return found


def tables(runs: Sequence[ReportedRun]) -> list[ReportTable]:
    """Return all tables of the paper, each with our rows: one for a run and a subset."""
    return [_table(published, runs) for published in TABLES]


def _table(published: PublishedTable, runs: Sequence[ReportedRun]) -> ReportTable:
    rows = [
        ReportRow(
            model=row.model, source=row.source, about=row.about, values=row.values, ours=False
        )
        for row in published.rows
    ]
    notes = [published.note] if published.note else []
    for run in runs:
        if (run.kind, run.settings.protocol) != (published.kind, published.protocol):
            continue
        for subset in published.subsets:
            of_subset = {m.metric: m for m in run.measurements if m.subset == subset}
            known = [of_subset.get(metric.name) for metric in published.metrics]
            rows.append(
                ReportRow(
                    model=run.model,
                    source="ours",
                    about=_about(run, subset, published, known),
                    values=tuple(None if m is None else m.value for m in known),
                    ours=True,
                )
            )
            others = [of_subset.get(metric.otherwise) for metric in published.metrics]
            notes += _notes(run, [m for m in known if m], [m for m in others if m])
    return ReportTable(
        number=published.number,
        title=published.title,
        source=published.source,
        about=published.about,
        metrics=published.metrics,
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _about(
    run: ReportedRun, subset: str, published: PublishedTable, known: Sequence[MeasuredFigure | None]
) -> tuple[str, ...]:
    """Return the columns that describe a run, by their names."""
    settings = run.settings
    files = next((m.files for m in known if m is not None), None)
    about = {
        "prompts": SUBSETS[subset],
        "# files": "-" if files is None else f"{files:,}",
        "sampling rate": f"{settings.sample_rate / 1000:g}kHz",
        "channels/sr": f"{settings.channels}/{settings.sample_rate / 1000:g}kHz",
    }
    if isinstance(settings, GenerationSettings):
        about["output length"] = f"{settings.seconds:.3g} sec"
    else:
        about["latent rate"] = f"{settings.sample_rate / settings.downsampling:.3g}Hz"
        about["latent (channels)"] = f"continuous ({settings.latent_channels})"
    return tuple(about[column] for column in published.about)


def _notes(
    run: ReportedRun, inside: Sequence[MeasuredFigure], others: Sequence[MeasuredFigure]
) -> list[str]:
    """Say how numbers were found, and give those that the table has no column for.

    Args:
        run: That was measured.
        inside: Numbers of the table.
        others: The same figures by other networks than the paper's.
    """
    together: dict[str, list[str]] = {}
    for measurement in inside:
        together.setdefault(_how(measurement), []).append(measurement.metric)
    for measurement in others:
        name = f"{measurement.metric} {measurement.value:.4g} (not the paper's metric)"
        together.setdefault(_how(measurement), []).append(name)
    return [f"{run.model}, {', '.join(names)}: {how}" for how, names in together.items()]


def _how(measurement: MeasuredFigure) -> str:
    by = f"by {measurement.by}, " if measurement.by else ""
    digits = f"weights {measurement.by_hash}, " if measurement.by_hash else ""
    files = f"{SUBSETS[measurement.subset]}, {_counted(measurement.files, 'file')}"
    if measurement.references is not None:
        files += f" against {measurement.references:,}"
    if measurement.silent:
        files += f", {measurement.silent:,} of them silent"
    if measurement.silent_originals:
        files += f", {_counted(measurement.silent_originals, 'silent original')} left out"
    lacking = "".join(
        f", {_counted(len(ids), one)} without a {other}"
        for ids, one, other in (
            (measurement.extra, "file", "reference"),
            (measurement.missing, "reference", "file"),
        )
        if ids
    )
    caution = f"; {measurement.caution}" if measurement.caution else ""
    return f"{by}{digits}{files}{lacking}; {measurement.definition}{caution}"


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" + ("" if count == 1 else "s")

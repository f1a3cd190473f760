"""The report as Markdown."""

from collections.abc import Sequence

from stable_audio_open.evaluation.generations.sets import GenerationSettings
from stable_audio_open.evaluation.report.published import Metric
from stable_audio_open.evaluation.report.tables import ReportedRun, ReportRow, ReportTable
from stable_audio_open.pages.text import as_markdown

ARROWS = {"lower": "↓", "higher": "↑"}
NOT_MEASURED = "-"


def heading(metric: Metric) -> str:
    """Return a column's heading, with an arrow to the better side."""
    return f"{metric.label} {ARROWS[metric.better]}"


def number(value: float | None) -> str:
    """Return a value with the paper's two decimals."""
    return NOT_MEASURED if value is None else f"{value:.2f}"


def name(row: ReportRow) -> str:
    """Return a row's model and whose it is."""
    return f"{row.model} ({row.source})" if row.ours else f"{row.model} {row.source}"


def markdown(tables: Sequence[ReportTable], runs: Sequence[ReportedRun]) -> str:
    """Return all tables; our rows are bold."""
    parts = ["# Evaluation\n", *(f"- {as_markdown(describe(run))}\n" for run in runs)]
    parts += [_table(table) for table in tables]
    return "".join(parts)


def describe(run: ReportedRun) -> str:
    """Say what a run is and how it was made, in a line."""
    settings = run.settings
    files = f"{len(run.items):,} {run.kind}s"
    weights = settings.weights or "unknown"
    how = ""
    if isinstance(settings, GenerationSettings):
        how = (
            f"; {settings.seconds:g} s, {settings.steps} steps of {settings.sampler}, guidance "
            f"scale {settings.guidance:g}, seed {settings.seed}"
        )
    return f"{run.folder}: {files} for {settings.protocol} by {run.model}, weights {weights}{how}"


def _table(table: ReportTable) -> str:
    head = ("", *table.about, *map(heading, table.metrics))
    align = (*("---" for _ in range(1 + len(table.about))), *("---:" for _ in table.metrics))
    titles = _line([*map(as_markdown, head)])
    lines = [f"\n## Table {table.number}. {table.title}\n", titles, _line(align)]
    for row in table.rows:
        cells = [as_markdown(text) for text in (name(row), *row.about, *map(number, row.values))]
        lines.append(_line([f"**{cell}**" for cell in cells] if row.ours else cells))
    lines += ["", *(f"- {as_markdown(note)}" for note in table.notes)]
    lines.append(f"- Rows that are not ours: {table.source}.")
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

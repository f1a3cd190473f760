"""What a catalogue holds, what was decided about it and what is left out, on one HTML page."""

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.curation.catalogue.decisions import Decision, final_decisions, read_decisions
from stable_audio_open.curation.catalogue.ingest import REJECTS, Reject
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.select import top_tags
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import read_json_lines
from stable_audio_open.pages.figure_style import svg_address
from stable_audio_open.pages.figures import bars
from stable_audio_open.pages.rendering import Plot, Table, render
from stable_audio_open.pages.text import visible

EDGES = (1, 5, 10, 30, 60, 300, 600, 3600)
BINS: tuple[str, ...] = (
    "under 1 s",
    "1 to 5 s",
    "5 to 10 s",
    "10 to 30 s",
    "30 to 60 s",
    "1 to 5 min",
    "5 to 10 min",
    "10 to 60 min",
    "1 h and more",
)
MOST = 30
"""Rows of tables and plots that could be long."""
LISTED = 500
"""Rows of what is left out that are named; the reasons count all."""
LONGEST = 120
"""Letters of a row that could not be read."""
UNKNOWN = "unknown"
Key = Callable[[CatalogueRecord], str]


class ReportSection(NamedTuple):
    """A part of the page; it says so where there is nothing to show."""

    name: str
    tables: tuple[Table, ...] = ()
    plot: Plot | None = None


def write_report(
    path: Path, title: str, catalogue: Path, *, unusable: Mapping[str, str] | None = None
) -> int:
    """Write the page of a catalogue with its decisions and rejects, and return its records.

    Args:
        path: File of the page.
        title: Its head.
        catalogue: Folder.
        unusable: Files that could not be read when a set was built, and why.
    """
    records = list(read_catalogue(catalogue))
    page = report_page(
        title,
        records,
        read_decisions(catalogue),
        rejects=read_rejects(catalogue),
        unusable=unusable or {},
    )
    replace_bytes(path, page.encode())
    return len(records)


def read_rejects(folder: Path) -> list[Reject]:
    """Return what ingesting could not use; nothing where there is no list.

    Raises:
        ValueError: naming file and line.
    """
    return read_json_lines(folder / REJECTS, Reject, what="a reject")


def report_page(
    title: str,
    records: Sequence[CatalogueRecord],
    decisions: Sequence[Decision],
    *,
    rejects: Sequence[Reject] = (),
    unusable: Mapping[str, str] | None = None,
) -> str:
    """Return the page: tables and plots in one file that needs neither network nor scripts.

    Args:
        title: Name of the catalogue.
        records: All of them.
        decisions: All that were taken, in order.
        rejects: Rows that are not in the catalogue.
        unusable: Files that could not be read when a set was built, and why.
    """
    holds = final_decisions(decisions)
    verdicts = {r.id: holds[r.id].verdict if r.id in holds else "undecided" for r in records}
    # A record stands as `curate build` sees it.
    stands = [r for r in records if verdicts[r.id] in ("keep", "undecided")]
    summary = (
        f"{len(records):,} recordings, {hours(records):,.2f} hours; "
        f"{len(stands):,} stand, {hours(stands):,.2f} hours."
    )
    rates = Counter(_known(r.sample_rate, " Hz") for r in records)
    channels = Counter(_known(r.channels) for r in records)
    sections = [
        ReportSection(
            "Verdicts", (Table(("verdict", "recordings", "hours"), _hours(records, verdicts)),)
        ),
        _grouped("Sources", records, stands, head="source", key=lambda r: r.catalogue),
        _grouped("Licences", records, stands, head="licence", key=lambda r: r.licence or UNKNOWN),
        _counted("Durations", "duration", durations(records)),
        _counted("Sample rates", "sample rate", _commonest(rates)),
        _counted("Channels", "channels", _commonest(channels)),
        _counted("Commonest tags", "tag", top_tags(records, MOST)),
        _decisions(decisions),
        _dropped(records, holds),
        _rejected(rejects),
        _unusable(unusable or {}),
    ]
    return render("catalogue.html.jinja", title=title, summary=summary, sections=sections)


def hours(records: Iterable[CatalogueRecord]) -> float:
    """Return the sum of the known durations."""
    return math.fsum(record.duration or 0.0 for record in records) / 3600


def durations(records: Iterable[CatalogueRecord]) -> list[tuple[str, int]]:
    """Return how many recordings fall into each of `BINS`, and how many durations are unknown."""
    counts = Counter(
        UNKNOWN if r.duration is None else BINS[bisect_right(EDGES, r.duration)] for r in records
    )
    return [(name, counts[name]) for name in (*BINS, UNKNOWN)]


def reason_pattern(reason: str) -> str:
    """Return a reason without its numbers and names, so that like reasons count together."""
    unquoted = re.sub(r"'(?:[^'\\]|\\.)*'", "…", re.sub(r"\b\w+:\S+", "…", reason))
    return re.sub(r"\d+(?:[.,]\d+)*", "…", unquoted)


def _known(value: object, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value}{unit}"


def _commonest(counts: Counter[str], most: int | None = MOST) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]


def _hours(
    records: Sequence[CatalogueRecord], groups: dict[str, str]
) -> list[tuple[str, int, float]]:
    members: dict[str, list[CatalogueRecord]] = {}
    for record in records:
        members.setdefault(groups[record.id], []).append(record)
    return [(name, len(found), hours(found)) for name, found in sorted(members.items())]


def _bars(title: str, entries: Sequence[tuple[str, int]], table: Table | None = None) -> Plot:
    return Plot(title, svg_address(bars(title, entries)), table)


def _counted(name: str, head: str, entries: Sequence[tuple[str, int]]) -> ReportSection:
    """Return numbers of recordings as bars."""
    if not entries:
        return ReportSection(name)
    return ReportSection(name, plot=_bars(name, entries, Table((head, "recordings"), entries)))


def _grouped(
    name: str,
    records: Sequence[CatalogueRecord],
    stands: Sequence[CatalogueRecord],
    *,
    head: str,
    key: Key,
) -> ReportSection:
    """Return recordings and hours by group, of all and of those that stand."""
    all_of = _hours(records, {r.id: key(r) for r in records})
    those = {name: (n, h) for name, n, h in _hours(stands, {r.id: key(r) for r in stands})}
    rows = [(*row, *those.get(row[0], (0, 0.0))) for row in sorted(all_of, key=lambda r: -r[1])]
    if not rows:
        return ReportSection(name)
    names = (head, "recordings", "hours", "standing recordings", "standing hours")
    plot = _bars(f"Recordings by {head}", [(name, count) for name, count, *_ in rows[:MOST]])
    return ReportSection(name, (Table(names, rows),), plot)


def _decisions(decisions: Sequence[Decision]) -> ReportSection:
    """Return decisions by stage, and their reasons."""
    if not decisions:
        return ReportSection("Decisions")
    stages = Counter((d.stage, d.verdict) for d in decisions)
    reasons = Counter((d.stage, d.verdict, reason_pattern(d.reason)) for d in decisions)
    common = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))[: 2 * MOST]
    rows = [(*key, count) for key, count in common]
    by_stage = [(f"{stage}: {verdict}", n) for (stage, verdict), n in sorted(stages.items())]
    return ReportSection(
        "Decisions",
        (Table(("stage", "verdict", "reason", "decisions"), rows),),
        _bars("Decisions by stage", by_stage),
    )


def _dropped(records: Sequence[CatalogueRecord], holds: Mapping[str, Decision]) -> ReportSection:
    """Return recordings that were dropped, by reason and one by one."""
    gone = [(r, holds[r.id]) for r in records if r.id in holds and holds[r.id].verdict == "drop"]
    rows = [(visible(r.id), d.stage, visible(d.reason), visible(d.by)) for r, d in gone]
    reasons = (f"{stage}: {reason}" for _, stage, reason, _ in rows)
    listed = _listed(("recording", "stage", "reason", "by"), rows)
    return ReportSection("Dropped recordings", (_by_reason(reasons), listed))


def _rejected(rejects: Sequence[Reject]) -> ReportSection:
    """Return rows that are not in the catalogue, by reason and one by one."""
    rows = [
        (f"{each.source}:{each.position}", visible(each.raw)[:LONGEST], visible(_own_reason(each)))
        for each in rejects
    ]
    reasons = (reason for *_, reason in rows)
    return ReportSection(
        "Rejected rows", (_by_reason(reasons), _listed(("place", "row", "reason"), rows))
    )


def _own_reason(reject: Reject) -> str:
    """Return the reason without the path of the file, which stands beside it."""
    return reject.reason.removeprefix(f"{reject.source}/{reject.raw}: ")


def _unusable(unusable: Mapping[str, str]) -> ReportSection:
    """Return files that stood, but could not be read when the set was built."""
    rows = [(visible(file), visible(why)) for file, why in unusable.items()]
    return ReportSection("Unusable files", (_listed(("file", "reason"), rows),))


def _by_reason(reasons: Iterable[str]) -> Table:
    counts = Counter(map(reason_pattern, reasons))
    return Table(("reason", "recordings"), _commonest(counts, most=None))


def _listed(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(head, rows[:LISTED], more=max(0, len(rows) - LISTED))

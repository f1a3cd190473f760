"""What a catalogue holds and what was decided about it, on one HTML page."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from stable_audio_open.curation.catalogue.decisions import Decision, final_decisions, read_decisions
from stable_audio_open.curation.catalogue.ingest import Reject
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.review.report_faults import faults, read_rejects, reason_pattern
from stable_audio_open.curation.training_set.select import top_tags
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.figures import bars, html_table
from stable_audio_open.pages.html import html_page

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
UNKNOWN = "unknown"
Key = Callable[[CatalogueRecord], str]
STYLE = """
body { max-width: 860px; } td { overflow-wrap: anywhere; }
svg text { dominant-baseline: middle; } svg rect { fill: #3d6fb4; }
"""


def write_report(
    path: Path, title: str, catalogue: Path, *, unusable: Mapping[str, str] | None = None
) -> int:
    """Write the page of a catalogue with its decisions and rejects, and return its records.

    Args:
        path: Of the page.
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
    rates = Counter(_known(r.sample_rate, " Hz") for r in records)
    channels = Counter(_known(r.channels) for r in records)
    sections = [
        ("Verdicts", html_table(("verdict", "recordings", "hours"), _hours(records, verdicts))),
        ("Sources", _grouped(records, stands, "source", lambda r: r.catalogue)),
        ("Licences", _grouped(records, stands, "licence", lambda r: r.licence or UNKNOWN)),
        ("Durations", bars("Durations", durations(records))),
        ("Sample rates", bars("Sample rates", _common(rates))),
        ("Channels", bars("Channels", _common(channels))),
        ("Commonest tags", bars("Commonest tags", top_tags(records, MOST))),
        ("Decisions", _decisions(decisions)),
        *faults(records, holds, rejects, unusable or {}),
    ]
    body = "".join(f"<section><h2>{name}</h2>{content}</section>" for name, content in sections)
    counts = (
        f"<p>{len(records):,} recordings, {hours(records):,.2f} hours; "
        f"{len(stands):,} stand, {hours(stands):,.2f} hours.</p>"
    )
    return html_page(title, counts + body, STYLE)


def hours(records: Iterable[CatalogueRecord]) -> float:
    """Return the sum of the known durations."""
    return math.fsum(record.duration or 0.0 for record in records) / 3600


def durations(records: Iterable[CatalogueRecord]) -> list[tuple[str, int]]:
    """Return how many recordings fall into each of `BINS`, and how many durations are unknown."""
    counts = Counter(
        UNKNOWN if r.duration is None else BINS[bisect_right(EDGES, r.duration)] for r in records
    )
    return [(name, counts[name]) for name in (*BINS, UNKNOWN)]


def _known(value: object, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value}{unit}"


def _common(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST]


def _hours(
    records: Sequence[CatalogueRecord], groups: dict[str, str]
) -> list[tuple[str, int, float]]:
    members: dict[str, list[CatalogueRecord]] = {}
    for record in records:
        members.setdefault(groups[record.id], []).append(record)
    return [(name, len(found), hours(found)) for name, found in sorted(members.items())]


def _grouped(
    records: Sequence[CatalogueRecord], stands: Sequence[CatalogueRecord], head: str, key: Key
) -> str:
    all_of = _hours(records, {r.id: key(r) for r in records})
    those = {name: (n, h) for name, n, h in _hours(stands, {r.id: key(r) for r in stands})}
    rows = [(*row, *those.get(row[0], (0, 0.0))) for row in sorted(all_of, key=lambda r: -r[1])]
    plot = bars(f"Recordings by {head}", [(name, count) for name, count, *_ in rows[:MOST]])
    names = (head, "recordings", "hours", "standing recordings", "standing hours")
    return html_table(names, rows) + plot


def _decisions(decisions: Sequence[Decision]) -> str:
    if not decisions:
        return "<p>None were taken.</p>"
    stages = Counter((d.stage, d.verdict) for d in decisions)
    reasons = Counter((d.stage, d.verdict, reason_pattern(d.reason)) for d in decisions)
    common = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))[: 2 * MOST]
    return bars(
        "Decisions by stage", [(f"{s}: {v}", n) for (s, v), n in sorted(stages.items())]
    ) + html_table(
        ("stage", "verdict", "reason", "decisions"), [(*key, count) for key, count in common]
    )

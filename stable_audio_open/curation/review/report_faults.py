"""What is not in a set, by name and reason: rejected rows, dropped recordings, unusable files."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stable_audio_open.curation.catalogue.decisions import Decision
from stable_audio_open.curation.catalogue.ingest import REJECTS, Reject
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.json_lines import read_json_lines
from stable_audio_open.pages.figures import html_table

LISTED = 500
"""Rows that are told by name; the reasons count all."""
LONGEST = 120
"""Letters of a row that could not be read."""


def read_rejects(folder: Path) -> list[Reject]:
    """Return what ingesting could not use; nothing where there is no list.

    Raises:
        ValueError: naming file and line.
    """
    return read_json_lines(folder / REJECTS, Reject, what="a reject")


def rejected(rejects: Sequence[Reject]) -> str:
    """Return rows that are not in the catalogue, by reason and one by one."""
    rows = [
        (f"{each.source}:{each.position}", visible(each.raw)[:LONGEST], visible(_own(each)))
        for each in rejects
    ]
    return _counted([reason for *_, reason in rows]) + _listed(("place", "row", "reason"), rows)


def dropped(records: Sequence[CatalogueRecord], standing: Mapping[str, Decision]) -> str:
    """Return recordings that were dropped, by reason and one by one.

    Args:
        records: All.
        standing: What holds for them.
    """
    gone = [(r, standing[r.id]) for r in records if r.id in standing]
    rows = [
        (visible(r.id), d.stage, visible(d.reason), visible(d.by))
        for r, d in gone
        if d.verdict == "drop"
    ]
    reasons = [f"{stage}: {reason}" for _, stage, reason, _ in rows]
    return _counted(reasons) + _listed(("recording", "stage", "reason", "by"), rows)


def unusable_files(unusable: Mapping[str, str]) -> str:
    """Return files that stood, but could not be read when the set was built."""
    return _listed(
        ("file", "reason"), [(visible(file), visible(why)) for file, why in unusable.items()]
    )


def reason_pattern(reason: str) -> str:
    """Return a reason without its numbers and names, so that like reasons count together."""
    unquoted = re.sub(r"'(?:[^'\\]|\\.)*'", "…", re.sub(r"\b\w+:\S+", "…", reason))
    return re.sub(r"\d+(?:[.,]\d+)*", "…", unquoted)


def visible(text: str) -> str:
    """Return text with escapes for what is not seen: line breaks and other control characters."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _own(reject: Reject) -> str:
    """Return the reason without the path of the file, which stands beside it."""
    return reject.reason.removeprefix(f"{reject.source}/{reject.raw}: ")


def _counted(reasons: Sequence[str]) -> str:
    counts = Counter(map(reason_pattern, reasons))
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return html_table(("reason", "recordings"), ordered)


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    more = f"<p>And {len(rows) - LISTED:,} more.</p>" if len(rows) > LISTED else ""
    return html_table(head, rows[:LISTED]) + more


def faults(
    records: Sequence[CatalogueRecord],
    standing: Mapping[str, Decision],
    rejects: Sequence[Reject],
    unusable: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """Yield sections of the page: name and content."""
    yield "Dropped recordings", dropped(records, standing)
    yield "Rejected rows", rejected(rejects)
    yield "Unusable files", unusable_files(unusable)

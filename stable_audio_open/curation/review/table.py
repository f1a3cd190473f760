"""What waits for a person: out as a table, back as decisions."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.curation.catalogue.decisions import Decision, final_decisions, now
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.tables import harmless, original
from stable_audio_open.files.text import open_table

STAGE = "review"
VERDICTS = ("keep", "drop")
FILLED = ("id", "verdict", "note")
"""Columns that are read back; the first two have to be there."""
COLUMNS = (*FILLED, "title", "artist", "author", "licence", "page_url", "file", "stages", "reasons")

LINES_SHOWN = 5


class OpenCase(NamedTuple):
    """A recording that waits for a person, and why."""

    record: CatalogueRecord
    reasons: tuple[Decision, ...]
    """What asks for review: of each stage the latest word."""


class Answers(NamedTuple):
    """What came back."""

    decisions: list[Decision]
    open: int
    """Rows without a verdict."""
    known: int
    """Rows that say what was decided before."""


def open_cases(records: Iterable[CatalogueRecord], decisions: Sequence[Decision]) -> list[OpenCase]:
    """Return what waits for a person, in the order of the catalogue."""
    waiting = {key for key, held in final_decisions(decisions).items() if held.verdict == "review"}
    latest: dict[str, dict[str, Decision]] = {key: {} for key in waiting}
    for decision in decisions:
        if decision.id in waiting and decision.verdict == "review":
            latest[decision.id][decision.stage] = decision
    return [
        OpenCase(record, tuple(latest[record.id].values()))
        for record in records
        if record.id in waiting
    ]


def write_table(path: Path, cases: Sequence[OpenCase]) -> None:
    """Write a CSV file whose column `verdict` is to be filled with keep or drop, and `note` freely.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for record, reasons in cases:
        told = [
            record.title,
            record.artist,
            record.author,
            record.licence,
            record.page_url,
            record.file,
            ", ".join(decision.stage for decision in reasons),
            " | ".join(decision.reason for decision in reasons),
        ]
        writer.writerow([harmless(record.id), "", "", *(harmless(cell or "") for cell in told)])
    # The mark tells spreadsheets that it is UTF-8.
    replace_bytes(path, text.getvalue().encode("utf-8-sig"))


def read_answers(
    path: Path, identifiers: Iterable[str], decisions: Sequence[Decision], *, by: str
) -> Answers:
    """Return the decisions of a filled table; a row without a verdict stays open.

    A row without a note takes over the reason that the recording waited for. One that says what the
    same person decided before adds nothing.

    Args:
        path: CSV with the columns id and verdict, perhaps note, and any others; commas, or
            semicolons as some spreadsheets save them.
        identifiers: Identifiers of the catalogue.
        decisions: Taken so far.
        by: The person's name.

    Raises:
        ValueError: naming lines: an identifier that is unknown or twice there, a verdict that is
            neither keep nor drop, or a drop without any reason. Then nothing holds.
    """
    if not by.strip():
        raise ValueError("who decided? give a name")
    rows = _rows(path)
    known, held = set(identifiers), final_decisions(decisions)
    counts = Counter(row["id"] for _, row in rows)
    faults: list[str] = []
    filled, empty, repeated = [], 0, 0
    for line, row in rows:
        key, verdict, note = row["id"], row["verdict"].lower(), row["note"]
        before = held.get(key)
        if key not in known:
            faults.append(f"{line}: {key!r} is not in the catalogue")
        elif counts[key] > 1:
            faults.append(f"{line}: {key!r} stands {counts[key]} times in the table")
        elif not verdict:
            empty += 1
        elif verdict not in VERDICTS:
            faults.append(f"{line}: verdict {verdict!r}; allowed: keep, drop or nothing")
        elif verdict == "drop" and not note and before is None:
            faults.append(f"{line}: {key!r} is dropped without a reason; fill in the note")
        elif _says_again(before, verdict, note, by):
            repeated += 1
        else:
            filled.append(_decision(key, verdict, note, before=before, by=by))
    if faults:
        more = f"; and {len(faults) - LINES_SHOWN} more" if len(faults) > LINES_SHOWN else ""
        raise ValueError(
            f"{path}: nothing is taken over: line {'; line '.join(faults[:LINES_SHOWN])}{more}"
        )
    return Answers(filled, empty, repeated)


def is_filled(path: Path) -> bool:
    """True when somebody has filled in a verdict or a note of a table.

    Raises:
        ValueError: It has no columns id and verdict.
    """
    return any(row["verdict"] or row["note"] for _, row in _rows(path))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    with open_table(path) as file:
        header = file.readline()
        file.seek(0)
        separator = ";" if ";" in header and "," not in header else ","
        rows = csv.DictReader(file, delimiter=separator, restkey="")
        names = rows.fieldnames or []
        for name in FILLED[:2]:
            if name not in names:
                raise ValueError(
                    f"{path}: has no column {name!r}; the columns are {', '.join(names) or 'none'}"
                )
        # A cell may hold line breaks: its row is identified by the line where it ends.
        return [
            (rows.line_num, {name: original(row.get(name) or "").strip() for name in FILLED})
            for row in rows
        ]


def _says_again(before: Decision | None, verdict: str, note: str, by: str) -> bool:
    if before is None or before.stage != STAGE:
        return False
    return (before.verdict, before.by) == (verdict, by) and note in ("", before.reason)


def _decision(key: str, verdict: str, note: str, *, before: Decision | None, by: str) -> Decision:
    taken_over = f"no note; {before.stage} said: {before.reason}" if before else "no note"
    return Decision(
        id=key,
        verdict="drop" if verdict == "drop" else "keep",
        stage=STAGE,
        reason=note or taken_over,
        by=by,
        at=now(),
    )

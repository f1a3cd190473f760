"""What was decided about recordings: who, why and when, for ever."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from stable_audio_open.files.json_lines import append_json_lines, read_json_lines

DECISIONS = "decisions.jsonl"

Verdict = Literal["keep", "review", "drop"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One verdict on one recording; `final_decisions` says which of several holds."""

    id: str
    """Identifier of the record."""
    verdict: Verdict
    """`review` waits for a person."""
    stage: str
    """What decided: `licence`, `music`, `search`, `duplicates`, `review`, ..."""
    reason: str
    """Why, in words and with the numbers."""
    by: str
    """Program and settings, or the person."""
    at: str
    """Time in UTC, as ISO 8601."""


def now() -> str:
    """Return the time for a decision."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def add_decisions(folder: Path, decisions: Iterable[Decision]) -> int:
    """Append to `folder/decisions.jsonl`, all or nothing as far as the disk allows.

    Returns:
        How many were added.

    Raises:
        OSError: Naming the file, where it cannot be written.
    """
    lines = list(decisions)
    folder.mkdir(parents=True, exist_ok=True)
    append_json_lines(folder / DECISIONS, lines)
    return len(lines)


def read_decisions(folder: Path) -> list[Decision]:
    """Return all decisions in the order they were taken; none where there is no file.

    A last line that was cut off, by a kill or a power cut, is passed over with a warning.

    Raises:
        ValueError: naming file and line.
    """
    return read_json_lines(folder / DECISIONS, Decision, what="a decision", appended=True)


def final_decisions(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return what holds for each recording in the end, by its identifier.

    Of each stage the latest verdict counts. A person's (stage `review`) stands against any
    program's, before or after it; among programs a `drop` stands, then a `review`.
    """
    latest: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        # Taken out first, so that the latest comes last.
        latest.pop((decision.id, decision.stage), None)
        latest[decision.id, decision.stage] = decision
    rank = {"keep": 0, "review": 1, "drop": 2}
    found: dict[str, Decision] = {}
    for decision in latest.values():
        before = found.get(decision.id)
        if before is None or _weight(decision, rank) >= _weight(before, rank):
            found[decision.id] = decision
    return found


def _weight(decision: Decision, rank: dict[str, int]) -> tuple[bool, int]:
    person = decision.stage == "review"
    return person, 0 if person else rank[decision.verdict]

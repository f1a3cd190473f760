"""Which threshold tells copies apart, by pairs that people have labelled."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.files.text import open_table

HEAD = ["a", "b", "label"]
LABELS = {"1": True, "true": True, "0": False, "false": False}


class LabelledPair(NamedTuple):
    """Two records and whether they are copies of each other."""

    a: str
    b: str
    copies: bool


class ThresholdRow(NamedTuple):
    """What a threshold would find."""

    threshold: float
    """Pairs at least so alike count as copies."""
    precision: float
    """Share of those found that are copies."""
    recall: float
    """Share of the copies that are found."""


class Calibration(NamedTuple):
    """What labelled pairs say about thresholds."""

    rows: list[ThresholdRow]
    """One row for each similarity that occurs, descending."""
    no_false_positives: float | None
    """Lowest of these thresholds that finds copies alone; None where every one errs."""
    no_false_negatives: float
    """Highest threshold that finds all copies."""


def read_pairs(path: Path) -> list[LabelledPair]:
    """Read a CSV file with the columns a, b (identifiers of records) and label (1 or 0).

    Raises:
        ValueError: naming file and line.
    """
    with open_table(path) as file:
        reader = csv.reader(file)
        head = next(reader, [])
        if head != HEAD:
            raise ValueError(f"{path}:1: the columns are {head}; they must be a,b,label")
        pairs = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(HEAD) or row[2].strip().lower() not in LABELS:
                raise ValueError(
                    f"{path}:{reader.line_num}: {','.join(row)!r} is not a pair; give two "
                    "identifiers and 1 or 0"
                )
            pairs.append(LabelledPair(row[0], row[1], LABELS[row[2].strip().lower()]))
    return pairs


def calibrate(similarities: Sequence[float], copies: Sequence[bool]) -> Calibration:
    """Return precision and recall at every threshold that makes a difference.

    Args:
        similarities: Cosines of the labelled pairs.
        copies: Their labels.

    Raises:
        ValueError: When no pair is labelled as copies.
    """
    positives = [s for s, same in zip(similarities, copies, strict=True) if same]
    negatives = [s for s, same in zip(similarities, copies, strict=True) if not same]
    if not positives:
        raise ValueError("no pair is labelled as copies; a threshold needs some")
    rows = []
    for threshold in sorted(set(similarities), reverse=True):
        hits = sum(s >= threshold for s in positives)
        found = hits + sum(s >= threshold for s in negatives)
        rows.append(ThresholdRow(threshold, hits / found, hits / len(positives)))
    clean = [s for s in positives if s > max(negatives, default=float("-inf"))]
    return Calibration(rows, min(clean, default=None), min(positives))

"""The threshold of the music gate, from recordings that a person has labelled.

Section 3.1: "This threshold was set with FMA music examples and ensuring no false negatives were
present."
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.curation.music.gate import ROUNDING, critical_threshold
from stable_audio_open.curation.music.tagging import TaggedRecording
from stable_audio_open.files.text import open_table
from stable_audio_open.settings import Counting

COLUMNS = ["file", "label"]
DIGITS = 4
TABLE = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Multiples of the chosen threshold that are shown around it."""


class Labelled(NamedTuple):
    """A recording of the labelled set."""

    file: str
    music: bool
    critical: float | None
    """Highest threshold at which the gate takes it for music; None where it is too short."""


class MusicThresholdRow(NamedTuple):
    """What the gate would do at a threshold."""

    threshold: float
    false_negatives: int
    false_positives: int


def read_labels(path: Path) -> list[tuple[str, bool]]:
    """Return file and label (1 music, 0 not) of a CSV file with the columns `file,label`.

    Raises:
        ValueError: naming the line.
    """
    with open_table(path) as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != COLUMNS:
            raise ValueError(f"{path}: the columns are {rows.fieldnames}; allowed: file, label")
        labels = []
        for row in rows:
            if not row["file"] or row["label"] not in ("0", "1"):
                raise ValueError(
                    f"{path}:{rows.line_num}: expected a file and 1 (music) or 0, got "
                    f"{row['file']!r}, {row['label']!r}"
                )
            labels.append((row["file"], row["label"] == "1"))
    if not any(music for _, music in labels):
        raise ValueError(f"{path}: no recording is labelled 1; add music to calibrate with")
    return labels


def critical_of(
    tagged: TaggedRecording, *, seconds_per_frame: float, seconds: float, counting: Counting
) -> float | None:
    """Return the highest threshold at which a recording counts as music; None if too short."""
    if tagged.duration < seconds - ROUNDING:
        return None
    # The last frame may reach beyond the end, as for the gate.
    reach = len(tagged.music) * seconds_per_frame
    return critical_threshold(
        tagged.music,
        seconds_per_frame=seconds_per_frame,
        seconds=min(seconds, reach),
        counting=counting,
    )


def calibrate(labelled: Sequence[Labelled]) -> float:
    """Return the highest threshold at which no music is missed, rounded down to four digits.

    Raises:
        ValueError: No threshold finds all music.
    """
    short = [each.file for each in labelled if each.music and each.critical is None]
    if short:
        raise ValueError(
            f"{len(short)} recordings labelled as music are shorter than the gate's seconds, "
            f"{short[0]} among them: no threshold finds them; ask for fewer seconds"
        )
    highest = min(each.critical for each in labelled if each.music and each.critical is not None)
    rounded = _down(highest)
    if rounded <= 0:
        weakest = next(each.file for each in labelled if each.music and each.critical == highest)
        raise ValueError(
            f"{weakest}: labelled as music, but tagged as music for so long at no threshold above 0"
        )
    return rounded


def table(labelled: Sequence[Labelled], chosen: float) -> list[MusicThresholdRow]:
    """Return what the gate would do at thresholds around the chosen one."""
    thresholds = [chosen if factor == 1 else _down(chosen * factor) for factor in TABLE]
    return [_row(labelled, threshold) for threshold in thresholds if 0 < threshold <= 1]


def _row(labelled: Sequence[Labelled], threshold: float) -> MusicThresholdRow:
    found = [each.critical is not None and each.critical >= threshold for each in labelled]
    pairs = list(zip(labelled, found, strict=True))
    return MusicThresholdRow(
        threshold=threshold,
        false_negatives=sum(each.music and not taken for each, taken in pairs),
        false_positives=sum(taken and not each.music for each, taken in pairs),
    )


def _down(value: float) -> float:
    """Round down to four digits, so that what is printed misses nothing."""
    if value <= 0:
        return 0.0
    scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(value)))
    return math.floor(value * scale) / scale

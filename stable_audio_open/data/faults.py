"""Recordings that cannot be used: left out, counted and named, never replaced."""

import csv
import logging
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import default_collate

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.files.atomic import append_bytes, replace_bytes
from stable_audio_open.files.tables import harmless, original
from stable_audio_open.files.text import open_table

logger = logging.getLogger(__name__)

LIMIT = "data.most_unusable"


class Fault(NamedTuple):
    """What a dataset gives in place of an item that cannot be read."""

    file: str
    reason: str


class Faults:
    """The recordings of a run that could not be used, in a CSV file too.

    Args:
        report: The file; one that is there already (of the run before a resume) is read first.
        recordings: Number of recordings in all.
        most: Share of them that may be unusable.
        limit: What sets this share, or what to do about it, in words.

    Raises:
        ValueError: The file that is there is no CSV in UTF-8.
    """

    def __init__(self, report: Path, *, recordings: int, most: float, limit: str = LIMIT) -> None:
        self.report = report
        self.limit = limit
        self.recordings = recordings
        self.most = most
        self.reasons: dict[str, str] = {}
        """Why, by file."""
        if report.is_file():
            with open_table(report) as file:
                self.reasons = {
                    original(row["file"]): original(row["reason"])
                    for row in csv.DictReader(file)
                    if row["reason"] is not None  # a line that was cut off by a kill
                }

    def add(self, file: str, reason: str) -> None:
        """Note a recording, once.

        Raises:
            AudioFileError: When more than the allowed share is unusable.
        """
        if file not in self.reasons:
            self._note(file, reason)
        # Of a run before this one too, which may have ended for it.
        refuse_too_many(
            len(self.reasons),
            recordings=self.recordings,
            most=self.most,
            report=self.report,
            last=reason,
            limit=self.limit,
        )

    def _note(self, file: str, reason: str) -> None:
        self.reasons[file] = reason
        self.report.parent.mkdir(parents=True, exist_ok=True)
        out = StringIO()
        rows = csv.writer(out)
        if not self.report.is_file():
            rows.writerow(Fault._fields)
        elif not self.report.read_bytes().endswith(b"\n"):
            out.write("\r\n")
        rows.writerow((harmless(file), harmless(reason)))
        append_bytes(self.report, out.getvalue().encode())
        logger.warning("recording left out: %s", reason)


def refuse_too_many(
    count: int, *, recordings: int, most: float, report: Path, last: str, limit: str = LIMIT
) -> None:
    """Raise AudioFileError when more than the share `most` of the recordings is unusable."""
    if count > most * recordings:
        raise AudioFileError(
            f"{count} of {recordings} recordings cannot be used, more than the allowed "
            f"share of {most:g} ({limit}); they are listed in {report}; "
            f"the last one: {last}"
        )


def write_report(path: Path, faults: Iterable[Fault]) -> None:
    """List recordings in a CSV file, which is there only if there are any."""
    listed = list(faults)
    if not listed:
        path.unlink(missing_ok=True)
        return
    out = StringIO()
    rows = csv.writer(out)
    rows.writerow(Fault._fields)
    rows.writerows((harmless(one.file), harmless(one.reason)) for one in listed)
    replace_bytes(path, out.getvalue().encode())


class EmptyBatch(NamedTuple):
    """What `collate` gives where no item of a batch can be read; loaders never give it on."""

    faults: list[Fault]


def collate(items: Sequence[Any]) -> Any:
    """Make a batch of the items that could be read; its entry `faults` lists the others.

    Returns:
        The batch, or an `EmptyBatch` where none could be read.
    """
    faults = [item for item in items if isinstance(item, Fault)]
    if len(faults) == len(items):
        return EmptyBatch(faults)
    batch = default_collate([item for item in items if not isinstance(item, Fault)])
    if isinstance(batch, dict):
        batch["faults"] = faults
    return batch

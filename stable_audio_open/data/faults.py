"""Recordings that cannot be used: left out, counted and named, never replaced."""

import csv
import logging
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import default_collate

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.files.atomic import appending, replace_bytes, write_whole
from stable_audio_open.files.pipes_and_devices import refuse_special
from stable_audio_open.files.tables import harmless, original
from stable_audio_open.files.text import MARK, not_utf8

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
            self.reasons = _read_report(report)

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
        with appending(self.report) as report:
            report.seek(0)
            known = report.read()
            whole = _whole_rows(known)
            if len(whole) < len(known):
                logger.warning("%s: the last row was cut off; it is removed", self.report)
                report.truncate(len(whole))
            heading = b"" if whole else _row(*Fault._fields)
            write_whole(report, heading + _row(file, reason))
        logger.warning("recording left out: %s", reason)


def refuse_too_many(
    count: int, *, recordings: int, most: float, report: Path, last: str, limit: str = LIMIT
) -> None:
    """Check that at most the share `most` of the recordings is unusable.

    Raises:
        AudioFileError: More is.
    """
    if count > most * recordings:
        raise AudioFileError(
            f"{count} of {recordings} recordings cannot be used, more than the allowed "
            f"share of {most:g} ({limit}); they are listed in {report}; "
            f"the last one: {last}"
        )


def _row(*cells: str) -> bytes:
    out = StringIO()
    csv.writer(out).writerow([harmless(cell) for cell in cells])
    return out.getvalue().encode()


def _whole_rows(content: bytes) -> bytes:
    """Return a table without a last row that was cut off, by a kill or a full disk.

    An end of a line inside of quotes is a part of a cell.
    """
    end = content.rfind(b"\n") + 1
    while end and content.count(b'"', 0, end) % 2:
        end = content.rfind(b"\n", 0, end - 1) + 1
    return content[:end]


def _read_report(path: Path) -> dict[str, str]:
    """Return files and reasons.

    Raises:
        ValueError: It is no CSV in UTF-8, or not of these columns.
    """
    refuse_special(path)
    content = _whole_rows(path.read_bytes()).removeprefix(MARK)
    if fault := not_utf8(content):
        raise ValueError(f"{path}: {fault}")
    try:
        rows = list(csv.reader(StringIO(content.decode(), newline="")))
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    if rows and rows[0] != [*Fault._fields]:
        raise ValueError(
            f"{path}: its columns are not {', '.join(Fault._fields)}; put it aside, and the run "
            "notes its recordings anew"
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(Fault._fields):
            raise ValueError(
                f"{path}: row {number} has {len(row)} cells instead of {len(Fault._fields)}; "
                "correct it, or put the file aside, and the run notes its recordings anew"
            )
    return {original(file): original(reason) for file, reason in rows[1:]}


def write_report(path: Path, faults: Iterable[Fault]) -> None:
    """List recordings in a CSV file, which is there only if there are any."""
    listed = list(faults)
    if not listed:
        path.unlink(missing_ok=True)
        return
    rows = [_row(one.file, one.reason) for one in listed]
    replace_bytes(path, b"".join([_row(*Fault._fields), *rows]))


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

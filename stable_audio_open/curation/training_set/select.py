"""A training set out of a catalogue: what stands, where it is, and what it amounts to."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from stable_audio_open.audio.files import AudioFileError, AudioInfo, audio_info
from stable_audio_open.curation.catalogue.decisions import Decision
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.atomic import replace_bytes, written_beside
from stable_audio_open.files.inside import is_inside
from stable_audio_open.manifest import ManifestLine

MANIFEST = "manifest.jsonl"
SUMMARY = "set.json"
TOP_TAGS = 50

logger = logging.getLogger(__name__)


class SelectedRecording(NamedTuple):
    """A recording of the set."""

    record: CatalogueRecord
    """A record with a file."""
    info: AudioInfo
    """What its header says, whatever the catalogue says."""


class Selection(NamedTuple):
    """What stands, and how many do not."""

    records: list[CatalogueRecord]
    """Records that are taken, in the order of the catalogue."""
    left_out: Counter[str]
    """How many are left out, by reason: `drop`, `review`, `no file`."""


def select(records: Iterable[CatalogueRecord], standing: Mapping[str, Decision]) -> Selection:
    """Return the records that were neither dropped nor wait for a person, and have a file."""
    chosen, left_out = [], Counter[str]()
    for record in records:
        decision = standing.get(record.id)
        if decision is not None and decision.verdict != "keep":
            left_out[decision.verdict] += 1
        elif record.file is None:
            left_out["no file"] += 1
        else:
            chosen.append(record)
    return Selection(chosen, left_out)


def open_items(
    records: Iterable[CatalogueRecord], audio: Path
) -> tuple[list[SelectedRecording], dict[str, str]]:
    """Look at the headers of all files; return the readable, and why each other file is not.

    Raises:
        ValueError: When a path leads out of the folder, or no file can be used.
    """
    items: list[SelectedRecording] = []
    unusable: dict[str, str] = {}
    for record in records:
        file = record.file or ""
        if not is_inside(file):
            raise ValueError(f"{record.id}: file is {record.file!r}; give a path inside {audio}")
        try:
            items.append(SelectedRecording(record, audio_info(audio / file)))
        except AudioFileError as error:
            unusable[str(PurePosixPath(file))] = str(error)
            logger.warning("recording left out: %s", error)
    if not items:
        reasons = "; ".join(list(unusable.values())[:1])
        raise ValueError(f"{audio}: no recording can be used{reasons and f' ({reasons})'}")
    return items, unusable


def caption(record: CatalogueRecord) -> str:
    """Return the caption, else description, title, tags, genres, or the name of the file."""
    stem = PurePosixPath(record.file or record.id).stem
    texts = (
        record.caption,
        record.description,
        record.title,
        ", ".join(record.tags),
        ", ".join(record.genres),
        stem.replace("_", " "),
    )
    return next((" ".join(text.split()) for text in texts if text and text.strip()), record.id)


def manifest_line(record: CatalogueRecord, file: str | None = None) -> dict[str, Any]:
    """Return a recording as a line of a training manifest: the known fields of `ManifestLine`.

    Args:
        record: A record with a file.
        file: Where it is, when not in place.
    """
    known = msgspec.structs.asdict(record)
    several = known.pop("captions")
    line = {name: known[name] for name in ManifestLine.__struct_fields__ if name in known} | {
        "file": file or record.file,
        "caption": several[0] if several else caption(record),
        "captions": several or UNSET,
        "tags": record.tags or record.genres,
        "source": record.id,
    }
    return ManifestLine(**line).known()


def write_manifest_lines(path: Path, items: Iterable[SelectedRecording]) -> None:
    """Write a manifest over files in place, replacing `path` in one step."""
    with written_beside(path) as temporary, temporary.open("xb") as file:
        for item in items:
            line = manifest_line(item.record) | measured(item.info)
            file.write(msgspec.json.encode(line) + b"\n")


def measured(info: AudioInfo) -> dict[str, float]:
    """Return what a header says, as lines of a set have it."""
    return {
        "seconds": info.duration,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
    }


class SetAmount(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table of the set, as in section 3."""

    source: str
    """Catalogue; `all` for the sum."""
    licence: str
    """Licence as the catalogue gives it; `all` for the sum."""
    recordings: int
    """How many."""
    hours: float
    """Hours of these recordings."""


def table(items: Sequence[SelectedRecording]) -> list[SetAmount]:
    """Count recordings and hours by source and licence, then by each, then in all."""
    counts: Counter[tuple[str, str]] = Counter()
    seconds: Counter[tuple[str, str]] = Counter()
    for record, info in items:
        source, licence = record.catalogue, record.licence or "none"
        for key in {(source, licence), (source, "all"), ("all", licence), ("all", "all")}:
            counts[key] += 1
            seconds[key] += info.duration  # type: ignore[assignment]  # a Counter of floats
    order = sorted(counts, key=lambda key: ("all" in key, key[0] == "all", key[1] == "all", key))
    return [
        SetAmount(
            source=source,
            licence=licence,
            recordings=counts[source, licence],
            hours=round(seconds[source, licence] / 3600, 4),
        )
        for source, licence in order
    ]


def top_tags(records: Iterable[CatalogueRecord], most: int = TOP_TAGS) -> list[tuple[str, int]]:
    """Return the commonest tags with their counts, whatever their case; ties by name."""
    counts = Counter(tag for r in records for tag in {tag.lower() for tag in r.tags})
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]


def write_summary(path: Path, items: Sequence[SelectedRecording], **more: Any) -> None:
    """Write `set.json`: the table, the commonest tags, and what else is known about the set."""
    content = {
        "recordings": len(items),
        "hours": round(sum(item.info.duration for item in items) / 3600, 4),
        "table": table(items),
        "top_tags": top_tags(item.record for item in items),
        **more,
    }
    text = msgspec.json.format(msgspec.json.encode(content), indent=2)
    replace_bytes(path, text + b"\n")

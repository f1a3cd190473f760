"""Who is to be named for what: title, author, source, licence, and changes (TASL)."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from stable_audio_open.curation.catalogue.decisions import Decision
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.licences.policy import NAMED_IN_ERRORS, normalise
from stable_audio_open.files.atomic import written_beside
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.tables import harmless
from stable_audio_open.files.text import not_utf8, text_lines

TEXT, TABLE = "ATTRIBUTIONS.md", "attributions.csv"
CHANGES = "used to train a model; not distributed"


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """A row of attributions.csv."""

    id: str
    title: str
    author: str
    source_url: str
    licence: str
    licence_url: str
    changes: str


class Used(msgspec.Struct, frozen=True):
    """What is read of a manifest's line."""

    source: str


def attribution(record: CatalogueRecord, changes: str = CHANGES) -> Attribution:
    """Return what is to be said about a recording; empty where the catalogue does not know it."""
    licence = normalise(record.licence)
    known = licence.name not in ("unknown", "missing")
    return Attribution(
        id=record.id,
        title=record.title or record.id,
        author=record.author or "",
        source_url=record.page_url or "",
        licence=licence.label if known else record.licence or "",
        licence_url=licence.url or "",
        changes=changes,
    )


def stands(record: CatalogueRecord, decided: dict[str, Decision]) -> bool:
    """Whether nobody has dropped a recording, and nobody still has to review it."""
    return record.id not in decided or decided[record.id].verdict == "keep"


def used_ids(manifest: Path) -> set[str]:
    """Return the `source` of every line of a manifest; empty lines are passed over.

    Raises:
        OSError: It cannot be read.
        ValueError: A line is not JSON or has no source, by file and line.
    """
    decoder = msgspec.json.Decoder(Used)
    used = set()
    for number, line in text_lines(manifest):
        if fault := not_utf8(line):
            raise ValueError(f"{manifest}:{number}: {fault}")
        try:
            used.add(decoder.decode(line).source)
        except NOT_JSON as error:
            raise ValueError(
                f"{manifest}:{number}: {error}; every recording used needs its `source`, such "
                "as freesound:4832"
            ) from error
    return used


def require_all(used: set[str], records: Iterable[CatalogueRecord], manifest: Path) -> None:
    """Refuse to name only some of what was used.

    Raises:
        ValueError: naming the first few that no record is about, and their number.
    """
    absent = used - {record.id for record in records}
    if absent:
        first = ", ".join(sorted(absent)[:NAMED_IN_ERRORS])
        raise ValueError(
            f"{manifest}: {len(absent)} of {len(used)} sources are not in the catalogue ({first}); "
            "give the catalogue that the set was built from"
        )


def write_attributions(
    records: Callable[[], Iterable[CatalogueRecord]], folder: Path, *, changes: str = CHANGES
) -> int:
    """Write ATTRIBUTIONS.md and attributions.csv, each in one step.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        records: Gives what is to be named, each time in the same order.
        folder: Created when missing.
        changes: What was done to the recordings.

    Returns:
        How many are named.
    """
    counts: Counter[tuple[str, str]] = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        written_beside(folder / TABLE) as temporary,
        temporary.open("x", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Attribution.__struct_fields__)
        for record in records():
            row = attribution(record, changes)
            table.writerow([harmless(cell) for cell in msgspec.structs.astuple(row)])
            counts[row.licence, row.licence_url] += 1
    with (
        written_beside(folder / TEXT) as temporary,
        temporary.open("x", encoding="utf-8") as file,
    ):
        file.writelines(
            _text((attribution(record, changes) for record in records()), counts, changes)
        )
    return counts.total()


def _text(
    rows: Iterable[Attribution], counts: Counter[tuple[str, str]], changes: str
) -> Iterator[str]:
    yield f"# Attributions\n\n{counts.total()} recordings. Changes: {_escaped(changes)}.\n\n"
    yield "| Licence | Recordings |\n|---|---|\n"
    for (licence, url), count in sorted(counts.items()):
        yield f"| {_link(licence, url)} | {count} |\n"
    yield "\n| Title | Author | Source | Licence |\n|---|---|---|---|\n"
    for row in rows:
        source = f"<{row.source_url}>" if _is_plain(row.source_url) else _escaped(row.source_url)
        yield (
            f"| {_escaped(row.title)} | {_escaped(row.author)} | {source or _escaped(row.id)} "
            f"| {_link(row.licence, row.licence_url)} |\n"
        )


def _link(text: str, url: str) -> str:
    return f"[{_escaped(text)}]({url})" if url else _escaped(text) or "none"


def _is_plain(url: str) -> bool:
    return url.startswith(("http://", "https://")) and not set(url) & set(" <>|\n\r\t")


def _escaped(text: str) -> str:
    """Return text in one line in which Markdown marks nothing."""
    return "".join(
        f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in " ".join(text.split())
    )

"""Search of a music catalogue for works that are known to be protected (section 3.1, FMA).

"We did a metadata search against a large database of copyrighted music and flagged any potential
match to be reviewed by humans."
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    now,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.known_works.names import comparable, unordered
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.files.text import open_table

STAGE = "search"
THRESHOLD = 90
"""Least score, of 100: one letter in ten may differ."""
REQUIRED = ("artist", "title")
COLUMNS = (*REQUIRED, "album")

RECORDS_AT_ONCE = 10_000
CELLS_AT_ONCE = 25_000_000
"""Scores of a kind in memory, one byte each."""


class KnownWork(NamedTuple):
    """A row of the list."""

    artist: str
    title: str
    album: str = ""


class WorkMatch(NamedTuple):
    """A record, the work that is most like it, and how many are like it at all."""

    record: CatalogueRecord
    work: KnownWork
    artist_score: int
    title_score: int
    works: int


class SearchCounts(NamedTuple):
    """What a search came to."""

    records: int
    """Records of the catalogue."""
    to_review: int
    """New ones that are like a known work."""
    before: int
    """Found before with the same list and threshold."""
    nameless: int
    """Records without artist or title."""


class KnownWorks:
    """A list of works, ready to be compared with.

    Args:
        works: The works, at least one.
    """

    def __init__(self, works: Sequence[KnownWork]) -> None:
        self.works = works
        self.titles = [comparable(work.title) for work in works]
        by_artist: dict[str, list[int]] = defaultdict(list)
        for index, work in enumerate(works):
            by_artist[comparable(work.artist)].append(index)
        self.artists = list(by_artist)
        self.of_artist = list(by_artist.values())


def read_works(path: Path) -> list[KnownWork]:
    """Return the works of a CSV file with the columns `artist,title` and perhaps `album`.

    Raises:
        ValueError: naming the line.
    """
    with open_table(path) as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or []
        if any(name not in names for name in REQUIRED) or any(n not in COLUMNS for n in names):
            raise ValueError(
                f"{path}: the columns are {', '.join(names) or 'none'}; allowed: artist, title and "
                "perhaps album"
            )
        works = []
        for row in rows:
            work = KnownWork(*((row.get(name) or "").strip() for name in COLUMNS))
            if not work.artist or not work.title:
                raise ValueError(f"{path}:{rows.line_num}: artist or title is empty")
            works.append(work)
    if not works:
        raise ValueError(f"{path}: lists no works")
    return works


def signature(path: Path, threshold: int) -> str:
    """Return what a decision says of its maker: the list with its checksum, and the threshold."""
    return f"metadata search, {path.name} sha256:{file_hash(path)[:12]}, threshold {threshold}"


def artist_of(record: CatalogueRecord) -> str | None:
    """Return who is searched for: the artist, or the author where there is none."""
    return record.artist or record.author


def search_catalogue(catalogue: Path, against: Path, *, threshold: int = THRESHOLD) -> SearchCounts:
    """Compare all records with a list of works, and add the decisions to the catalogue.

    Args:
        catalogue: Folder of the catalogue, with its decisions.
        against: See `read_works`.
        threshold: 1 to 100.

    Raises:
        ValueError: The list cannot be used, or the threshold is out of range.
    """
    known, by = KnownWorks(read_works(against)), signature(against, threshold)
    done = {d.id for d in read_decisions(catalogue) if (d.stage, d.by) == (STAGE, by)}
    total = nameless = 0
    for record in read_catalogue(catalogue):
        total += 1
        nameless += not (artist_of(record) and record.title)
    remaining = (record for record in read_catalogue(catalogue) if record.id not in done)
    found = [
        decide_search(match, by=by) for match in find_matches(remaining, known, threshold=threshold)
    ]
    add_decisions(catalogue, found)
    return SearchCounts(total, len(found), len(done), nameless)


def find_matches(
    records: Iterable[CatalogueRecord], known: KnownWorks, *, threshold: int = THRESHOLD
) -> Iterator[WorkMatch]:
    """Yield the records that are like a known work, each with the work that is most like it.

    Artist and title are scored apart, 0 to 100 (the share of letters that stay when one becomes the
    other, words in any order), and both have to reach the threshold. Records without artist or
    title are passed over.

    Args:
        records: Any number; some thousands are compared at once.
        known: The list.
        threshold: 1 to 100.

    Raises:
        ValueError: The threshold is out of range.
    """
    if not 1 <= threshold <= 100:
        raise ValueError(f"threshold must be within 1..100, got {threshold}")
    remaining = (record for record in records if artist_of(record) and record.title)
    while chunk := list(islice(remaining, RECORDS_AT_ONCE)):
        yield from _matches(chunk, known, threshold)


def decide_search(match: WorkMatch, *, by: str) -> Decision:
    """Return `review` for a match, with both names and scores as the reason."""
    record, work = match.record, match.work
    album = f" (album {work.album!r})" if work.album else ""
    others = f"; {match.works - 1} more works match" if match.works > 1 else ""
    return Decision(
        id=record.id,
        verdict="review",
        stage=STAGE,
        reason=f"artist {artist_of(record)!r} ~ {work.artist!r} {match.artist_score}, title "
        f"{record.title!r} ~ {work.title!r} {match.title_score}{album}{others}",
        by=by,
        at=now(),
    )


def _matches(
    records: Sequence[CatalogueRecord], known: KnownWorks, threshold: int
) -> Iterator[WorkMatch]:
    by_artist: dict[str, list[CatalogueRecord]] = defaultdict(list)
    for record in records:
        by_artist[comparable(artist_of(record) or "")].append(record)
    works: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for artist, found, score in _alike(list(by_artist), known.artists, threshold):
        works[artist] += [(index, score) for index in known.of_artist[found]]
    best: dict[str, WorkMatch] = {}
    for artist, candidates in works.items():
        for match in _same_title(by_artist[artist], candidates, known, threshold):
            best[match.record.id] = match
    yield from (best[record.id] for record in records if record.id in best)


def _same_title(
    records: Sequence[CatalogueRecord],
    candidates: Sequence[tuple[int, int]],
    known: KnownWorks,
    threshold: int,
) -> Iterator[WorkMatch]:
    """Yield the records of an artist whose title is that of one of his candidate works."""
    by_title: dict[str, list[CatalogueRecord]] = defaultdict(list)
    for record in records:
        by_title[comparable(record.title or "")].append(record)
    titles = [known.titles[index] for index, _ in candidates]
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for title, place, score in _alike(list(by_title), titles, threshold):
        index, artist_score = candidates[place]
        found[title].append((artist_score, score, index))
    for title, scores in found.items():
        artist_score, score, index = max(scores, key=lambda each: (each[0] + each[1], -each[2]))
        for record in by_title[title]:
            yield WorkMatch(record, known.works[index], artist_score, score, len(scores))


def _alike(
    queries: Sequence[str], choices: Sequence[str], threshold: int
) -> Iterator[tuple[str, int, int]]:
    """Yield query, place of the choice and score of all pairs that reach the threshold."""
    from rapidfuzz import fuzz, process

    rows = max(1, CELLS_AT_ONCE // len(choices))
    sorted_choices = [unordered(choice) for choice in choices]
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows]
        # As they are written and with sorted words: sorting alone would take words apart whose
        # first letter is misspelt.
        pairs = ((part, choices), ([unordered(query) for query in part], sorted_choices))
        as_written, in_order = (
            process.cdist(*pair, scorer=fuzz.ratio, score_cutoff=threshold, dtype=np.uint8)
            for pair in pairs
        )
        scores = np.maximum(as_written, in_order)
        for row, column in np.argwhere(scores):
            yield part[row], int(column), int(scores[row, column])

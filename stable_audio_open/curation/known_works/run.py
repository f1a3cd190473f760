"""The search for protected works over a whole catalogue."""

from pathlib import Path
from typing import NamedTuple

from stable_audio_open.curation.catalogue.decisions import add_decisions, read_decisions
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.known_works.search import (
    STAGE,
    THRESHOLD,
    KnownWorks,
    artist_of,
    decide_search,
    find_matches,
    read_works,
    signature,
)


class Searched(NamedTuple):
    """What a search came to."""

    records: int
    """In the catalogue."""
    to_review: int
    """New ones that are like a known work."""
    before: int
    """Found before with the same list and threshold."""
    nameless: int
    """Without artist or title."""


def search_catalogue(catalogue: Path, against: Path, *, threshold: int = THRESHOLD) -> Searched:
    """Compare all records with a list of works, and add the decisions to the catalogue.

    Args:
        catalogue: With its decisions.
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
    return Searched(total, len(found), len(done), nameless)

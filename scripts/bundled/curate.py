"""From packages to the recordings that stand, by the library's own stages, with their reasons."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bundled import npm
from bundled.rules import LEFT_OUT, Described, Rule, describe
from bundled.split import held_out, of_one_page
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    now,
    read_decisions,
)
from stable_audio_open.curation.catalogue.ingest import SourceRow, ingest
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.duplicates.stage import EMBEDDINGS, HASHES, decide_duplicates
from stable_audio_open.curation.licences.policy import licence_decisions, require_licences
from stable_audio_open.curation.sources.debian import read_debian
from stable_audio_open.curation.training_set.select import select
from stable_audio_open.similarity.audio_hashes import hash_files
from stable_audio_open.similarity.embeddings import EmbeddingCache, embed_files
from stable_audio_open.similarity.pairs import groups, similar_pairs

BY = "prepare_bundled.py"
EMBEDDER = "log-mel"
COPIES = 0.996
"""Least cosine of near copies, of which one stays; hard and soft strokes on a snare reach 0.994."""
KIN = 0.98
"""Least cosine of recordings that stay on one side of the split; steady noises reach 0.977."""


class Kept(NamedTuple):
    """A recording of the set."""

    record: CatalogueRecord
    described: Described
    held_out: bool


class Curated(NamedTuple):
    """What stands, and why the rest does not."""

    kept: list[Kept]
    dropped: dict[str, str]
    """Reason by identifier, of those with a record; by file, of those without."""


def curate(
    packages: Sequence[str], sources: Path, catalogue: Path, rules: Sequence[Rule]
) -> Curated:
    """Ingest, drop what may not or should not be used, drop copies, and split what stands.

    Args:
        packages: Names of Debian packages, and that of npm's.
        sources: Folder where packages are unpacked, or will be.
        catalogue: Folder of the catalogue, which is made anew.
        rules: What files are called.

    Raises:
        ValueError: A package cannot be had or read, or nothing stands.
        OSError: A file cannot be read or written.
    """
    without: dict[str, str] = {}
    rows = (_read(package, sources) for package in packages)
    ingest(_noted(chain.from_iterable(rows), without), catalogue)
    add_decisions(catalogue, licence_decisions(read_catalogue(catalogue), by=BY))
    described = _describe(catalogue, rules)
    embedder = EMBEDDERS.load(EMBEDDER)
    decide_duplicates(catalogue, sources, embedder=embedder, threshold=COPIES)
    standing = final_decisions(read_decisions(catalogue))
    records = select(read_catalogue(catalogue), standing).records
    if not records:
        raise ValueError(f"{catalogue}: no recording stands; see its decisions.jsonl")
    require_licences(records)
    held = _split(records, described, sources, (catalogue, embedder))
    dropped = {name: one.reason for name, one in standing.items() if one.verdict != "keep"}
    return Curated(
        [Kept(record, described[record.id], record.id in held) for record in records],
        without | dropped,
    )


def _read(package: str, sources: Path) -> Iterable[SourceRow]:
    if package == npm.PACKAGE:
        npm.fetch(sources)
        return npm.read_npm(sources)
    return read_debian(package, sources)


def _noted(rows: Iterable[SourceRow], without: dict[str, str]) -> Iterator[SourceRow]:
    for row in rows:
        if row.record is None:
            name = f"{Path(row.source).name}/{row.raw!s}"
            without[name] = row.reason.removeprefix(f"{row.source}/")
        yield row


def _describe(catalogue: Path, rules: Sequence[Rule]) -> dict[str, Described]:
    """Drop what the table leaves out or does not know; return what it says about the rest."""
    found: dict[str, Described] = {}
    decisions = []
    for record in read_catalogue(catalogue):
        one = describe(record.file or "", rules)
        if one is not None and one.rule.family != LEFT_OUT:
            found[record.id] = one
            continue
        reason = "no row of the table is about it" if one is None else one.rule.sound
        decisions.append(
            Decision(id=record.id, verdict="drop", stage="captions", reason=reason, by=BY, at=now())
        )
    # What has no licence is told by that: the first reason to drop counts.
    dropped = final_decisions(read_decisions(catalogue))
    add_decisions(catalogue, [one for one in decisions if one.id not in dropped])
    return found


def _split(
    records: Sequence[CatalogueRecord],
    described: dict[str, Described],
    sources: Path,
    known: tuple[Path, Embedder],
) -> set[str]:
    catalogue, embedder = known
    files = [str(record.file) for record in records]
    hashes, unreadable = hash_files(files, sources, catalogue / HASHES)
    if unreadable:
        file, reason = next(iter(unreadable.items()))
        raise ValueError(f"{sources / file}: {reason}")
    cache = EmbeddingCache(catalogue / EMBEDDINGS, embedder.name)
    rows = embed_files(files, hashes, sources, embedder, cache=cache)
    ids = [record.id for record in records]
    alike = [
        [ids[index] for index in group] for group in groups(len(ids), similar_pairs(rows, KIN))
    ]
    alike += of_one_page({record.id: record.page_url for record in records})
    return held_out(
        {name: described[name].rule.family for name in ids},
        {record.id: hashes[str(record.file)] for record in records},
        alike,
    )

"""Copies in a catalogue: from its files to decisions, or to a threshold."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.duplicates.calibration import Calibration, LabelledPair, calibrate
from stable_audio_open.curation.duplicates.chromaprint import (
    AGREEMENT,
    agreeing_pairs,
    align,
    command,
    fingerprint_files,
)
from stable_audio_open.curation.duplicates.copies import (
    cosine,
    decide_groups,
    exact_copies,
    near_copies,
    new_decisions,
)
from stable_audio_open.engine.engine import Engine
from stable_audio_open.similarity.audio_hashes import hash_files
from stable_audio_open.similarity.embeddings import EmbeddingCache, embed_files
from stable_audio_open.similarity.pairs import Search, similar_pairs

HASHES = "duplicates"
EMBEDDINGS = "embeddings"


class DuplicateCounts(NamedTuple):
    """What a search came to."""

    recordings: int
    """That were looked at."""
    exact: int
    """Copies dropped."""
    near: int
    """Copies that wait for a person."""
    unusable: int
    """Files that could not be read."""


def decide_duplicates(
    catalogue: Path,
    audio: Path,
    *,
    embedder: Embedder | None = None,
    threshold: float | None = None,
    chromaprint: bool = False,
    search: Search = similar_pairs,
    engine: Engine | None = None,
    load: Callable[[], Embedder] | None = None,
) -> DuplicateCounts:
    """Find copies and add the decisions to the catalogue; those taken before are not repeated.

    Recordings that are dropped already are not looked at: beside one that is gone, its copy would
    be lost too. Hashes and embeddings are kept in the catalogue's folder.

    Args:
        catalogue: Folder of the catalogue, with its decisions.
        audio: Folder of the files.
        embedder: Finds near copies; they are not looked for when None.
        threshold: Least cosine of near copies; belongs to the embedder.
        chromaprint: Compare fingerprints too, for near copies.
        search: Finds the pairs of embeddings that are alike.
        engine: What reads, hashes and embeds; this process when None.
        load: Loads the embedder in each worker; the embedder itself is sent to them when None.

    Raises:
        ValueError: When only one of embedder and threshold is given, it is out of range, or
            `fpcalc` is missing.
    """
    if (embedder is None) != (threshold is None):
        raise ValueError(f"got embedder {embedder} and threshold {threshold}; give both or none")
    if chromaprint:
        command()
    records = _candidates(catalogue)
    hashes, unusable = _hashes(records, catalogue, audio, engine)
    kept, decisions = exact_copies(records, hashes, by="curate duplicates, audio hash")
    exact = len(decisions)
    if chromaprint:
        decisions += _by_fingerprint(kept, hashes, catalogue, audio)
    if embedder is not None and threshold is not None and kept:
        by = f"curate duplicates, {embedder.name}, threshold {threshold:g}"
        embeddings = _embed(
            kept, hashes, catalogue, audio, embedder=embedder, engine=engine, load=load
        )
        decisions += near_copies(kept, embeddings, threshold=threshold, by=by, search=search)
    add_decisions(catalogue, new_decisions(read_decisions(catalogue), decisions))
    near = {decision.id for decision in decisions[exact:]}
    return DuplicateCounts(len(records), exact, len(near), len(unusable))


def calibrate_duplicates(
    catalogue: Path,
    audio: Path,
    *,
    embedder: Embedder,
    pairs: Sequence[LabelledPair],
    engine: Engine | None = None,
    load: Callable[[], Embedder] | None = None,
) -> Calibration:
    """Return what thresholds would find among labelled pairs; nothing is decided.

    Engine and load are those of `decide_duplicates`.

    Raises:
        ValueError: When a pair names no readable recording of the catalogue, or none are copies.
    """
    names = {name for pair in pairs for name in (pair.a, pair.b)}
    records = [record for record in read_catalogue(catalogue) if record.id in names and record.file]
    hashes, unusable = _hashes(records, catalogue, audio, engine)
    records = [record for record in records if record.file not in unusable]
    unknown = sorted(names - {record.id for record in records})
    if unknown:
        raise ValueError(f"{catalogue}: has no readable recording {unknown[0]!r}, which a pair has")
    vectors: dict[str, Tensor] = {}
    if records:
        rows = _embed(
            records, hashes, catalogue, audio, embedder=embedder, engine=engine, load=load
        )
        vectors = {record.id: row for record, row in zip(records, rows, strict=True)}
    similarities = [cosine(vectors[pair.a], vectors[pair.b]) for pair in pairs]
    return calibrate(similarities, [pair.copies for pair in pairs])


def _candidates(catalogue: Path) -> list[CatalogueRecord]:
    holds = final_decisions(read_decisions(catalogue))
    dropped = {name for name, decision in holds.items() if decision.verdict == "drop"}
    return [r for r in read_catalogue(catalogue) if r.file and r.id not in dropped]


def _hashes(
    records: Sequence[CatalogueRecord], catalogue: Path, audio: Path, engine: Engine | None
) -> tuple[dict[str, str], dict[str, str]]:
    files = (str(record.file) for record in records)
    return hash_files(files, audio, catalogue / HASHES, engine=engine)


def _by_fingerprint(
    records: Sequence[CatalogueRecord], hashes: dict[str, str], catalogue: Path, audio: Path
) -> list[Decision]:
    files = [str(record.file) for record in records]
    made = fingerprint_files(files, hashes, audio, catalogue / HASHES)
    return decide_groups(
        records,
        agreeing_pairs(made),
        lambda one, other: align(made[one], made[other]).agreement,
        least=AGREEMENT,
        word="agreement",
        by=f"curate duplicates, Chromaprint, agreement {AGREEMENT:g}",
    )


def _embed(
    records: Sequence[CatalogueRecord],
    hashes: dict[str, str],
    catalogue: Path,
    audio: Path,
    *,
    embedder: Embedder,
    engine: Engine | None,
    load: Callable[[], Embedder] | None,
) -> Float[Tensor, "records width"]:
    cache = EmbeddingCache(catalogue / EMBEDDINGS, embedder.name)
    files = [str(record.file) for record in records]
    return embed_files(files, hashes, audio, embedder, cache=cache, engine=engine, load=load)

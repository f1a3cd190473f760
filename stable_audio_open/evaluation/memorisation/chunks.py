"""Recordings as vectors of their chunks, so that a copied part of a long one is found."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio_models.embedder import Embedder, recording_vector
from stable_audio_open.similarity.embeddings import EmbeddingCache

BLOCK = 4096
"""Rows compared at once: a block of similarities takes 64 MiB."""
EXACT_ROWS = 512
"""Rows compared once more in float64: 25 MB a side for vectors of 6,016 numbers."""


class ChunkVectors(NamedTuple):
    """The chunks of recordings, recording after recording."""

    values: Float[Tensor, "chunks width"]
    """Vectors of length 1."""
    owners: Int64[Tensor, "chunks"]
    """Place of the recording; every recording has at least one chunk."""
    starts: Float[Tensor, "chunks"]
    """Seconds."""

    @property
    def recordings(self) -> int:
        """How many there are."""
        return int(self.owners[-1]) + 1 if len(self.owners) else 0


class EmbeddedChunks(NamedTuple):
    """The chunks of recordings that can be compared, and what is left out."""

    vectors: ChunkVectors
    files: tuple[str, ...]
    """The recordings that own them, in order."""
    silent: tuple[str, ...]
    """The other recordings: all their chunks are silent."""
    silent_chunks: int
    """Silent chunks of all recordings."""


class Neighbours(NamedTuple):
    """The nearest chunk for each recording of a set."""

    similarity: Float64[Tensor, "recordings"]
    """Cosine."""
    own: Int64[Tensor, "recordings"]
    """Row of the chunk that is nearest to another set."""
    other: Int64[Tensor, "recordings"]
    """Row of what it is nearest to, in the other set."""


def chunk_starts(duration: float, chunk: float) -> list[float]:
    """Return where chunks start in seconds: side by side, the last one at the end.

    A recording that is shorter than a chunk is one chunk.
    """
    count = max(1, math.ceil(duration / chunk - 1e-6))
    return [min(place * chunk, max(0.0, duration - chunk)) for place in range(count)]


def embed_chunks(
    files: Sequence[str],
    hashes: Mapping[str, str],
    folder: Path,
    embedder: Embedder,
    *,
    cache: EmbeddingCache,
    chunk: float,
) -> EmbeddedChunks:
    """Return the vectors of the chunks of files, from the cache where it has them.

    Chunks that never exceed -60 dB of full scale are left out: for an embedder, one silence is as
    good as another, so that they would count as copies. They are read anew each time, which costs
    little beside embedding.

    Args:
        files: Relative to `folder`.
        hashes: Hash of the audio of each file.
        folder: Folder of the recordings.
        embedder: Gets each chunk at its rate, as the mean of the channels.
        cache: Cache of this embedder.
        chunk: Seconds.

    Raises:
        AudioFileError: When a file cannot be read.
        ValueError: When an embedding is zero or not finite.
    """
    heard: list[str] = []
    silent: list[str] = []
    keys: list[str] = []
    owners: list[int] = []
    starts: list[float] = []
    silent_chunks = 0
    try:
        for file in files:
            before = len(keys)
            for start in chunk_starts(audio_info(folder / file).duration, chunk):
                # Vectors under keys without the last word may be those of silence.
                key = f"{hashes[file]} {start:.6f} {chunk:.6f} heard"
                if key not in cache:
                    mono = _heard(folder / file, embedder.sample_rate, start, chunk)
                    if mono is None:
                        silent_chunks += 1
                        continue
                    cache.add(key, recording_vector(embedder, mono))
                keys.append(key)
                owners.append(len(heard))
                starts.append(start)
            (heard if len(keys) > before else silent).append(file)
    finally:
        cache.flush()
    vectors = ChunkVectors(
        torch.stack([cache[key] for key in keys]) if keys else torch.empty(0, 0),
        torch.tensor(owners, dtype=torch.long),
        torch.tensor(starts, dtype=torch.float64),
    )
    return EmbeddedChunks(vectors, tuple(heard), tuple(silent), silent_chunks)


def nearest_chunks(
    queries: ChunkVectors, library: ChunkVectors, *, same_set: bool = False, block: int = BLOCK
) -> Neighbours:
    """Return for each recording the chunk of another set that is nearest to one of its chunks.

    The search is exhaustive, in float32; of equally near chunks the first counts. The cosines of
    what it finds are taken again in float64: that of a copy is 1.

    Args:
        queries: Recordings that are looked at.
        library: Recordings that are searched.
        same_set: Both are the same, and a recording is no neighbour of itself.
        block: Rows compared at once.

    Raises:
        ValueError: When there is no other recording.
    """
    if same_set and library.recordings < 2:
        raise ValueError("a set of one recording has no neighbours; add recordings")
    best = torch.full((len(queries.values),), -math.inf)
    where = torch.zeros(len(queries.values), dtype=torch.long)
    for rows, columns in _blocks(len(best), len(library.values), block):
        scores = queries.values[rows] @ library.values[columns].T
        if same_set:
            scores[queries.owners[rows, None] == library.owners[None, columns]] = -math.inf
        found, column = scores.max(dim=1)
        nearer = found > best[rows]
        best[rows] = torch.where(nearer, found, best[rows])
        where[rows] = torch.where(nearer, column + columns.start, where[rows])
    cosines = _cosines(queries.values, library.values, where)
    own = torch.tensor(
        [
            first + int(cosines[first:last].argmax())
            for first, last in _spans(queries.owners, queries.recordings)
        ],
        dtype=torch.long,
    )
    return Neighbours(cosines[own], own, where[own])


def similarity(queries: ChunkVectors, query: int, library: ChunkVectors, place: int) -> float:
    """Return the cosine of the nearest chunks of two recordings."""
    own = functional.normalize(queries.values[queries.owners == query].double(), dim=1)
    other = functional.normalize(library.values[library.owners == place].double(), dim=1)
    return float((own @ other.T).max().clamp(-1, 1))


def _cosines(
    queries: Float[Tensor, "chunks width"],
    library: Float[Tensor, "others other_width"],
    where: Int64[Tensor, "chunks"],
) -> Float64[Tensor, "chunks"]:
    """Return the cosine of each chunk and its row of the library."""
    cosines = torch.empty(len(where), dtype=torch.float64)
    for top in range(0, len(where), EXACT_ROWS):
        rows = slice(top, top + EXACT_ROWS)
        own, other = queries[rows].double(), library[where[rows]].double()
        cosines[rows] = functional.cosine_similarity(own, other, dim=1)
    return cosines.clamp(-1, 1)


def _heard(
    path: Path, sample_rate: int, start: float, duration: float
) -> Float[Tensor, "time"] | None:
    """Return the mean of the channels at a rate; None where it is silent.

    At the recording's own rate it must be heard too: resampled, a sound rings into the silence next
    to it.
    """
    for rate in (None, sample_rate):
        found = read_audio(path, sample_rate=rate, start=start, duration=duration)
        mono = found.samples[0].mean(dim=0)
        if is_silent(mono):
            return None
    return mono


def _blocks(rows: int, columns: int, block: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, rows, block):
        for left in range(0, columns, block):
            yield slice(top, min(top + block, rows)), slice(left, min(left + block, columns))


def _spans(owners: Tensor, recordings: int) -> list[tuple[int, int]]:
    counts = torch.bincount(owners, minlength=recordings).tolist()
    ends = torch.tensor(counts).cumsum(0).tolist()
    return [(end - count, end) for end, count in zip(ends, counts, strict=True)]

"""Folders of recordings as sets of vectors, and what repeats within one (section 5.3)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch

from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.evaluation.memorisation.chunks import ChunkVectors, embed_chunks
from stable_audio_open.similarity.audio_hashes import hash_files
from stable_audio_open.similarity.embeddings import EmbeddingCache
from stable_audio_open.similarity.pairs import Pairs, groups, similar_pairs


class RecordingSet(NamedTuple):
    """Recordings of a folder."""

    folder: Path
    captions: Mapping[str, str]
    """By file, relative to the folder."""


class EmbeddedSet(NamedTuple):
    """The recordings of a folder that can be compared and their vectors, in the same order."""

    name: str
    folder: Path
    files: tuple[str, ...]
    hashes: Mapping[str, str]
    """Hash of the audio, by file."""
    vectors: ChunkVectors
    silent: tuple[str, ...]
    """Files that are left out, since all of their chunks are silent."""
    silent_chunks: int
    """That are left out, of all files."""
    unreadable: tuple[str, ...]
    """Files that are left out."""

    def refuse_empty(self) -> None:
        """Check that there is something to compare.

        Raises:
            ValueError: Every file is silent or cannot be read.
        """
        if not self.files:
            raise ValueError(
                f"{self.folder}: holds nothing to compare: {len(self.silent)} recordings are "
                f"silent, {len(self.unreadable)} cannot be read; add others"
            )


@dataclass(frozen=True)
class SetEmbedder:
    """Embeds sets, keeping hashes and vectors in a folder."""

    output: Path
    embedder: Embedder
    cache: EmbeddingCache
    chunk: float
    """Seconds."""

    def __call__(self, name: str, folder: Path, files: Iterable[str]) -> EmbeddedSet:
        """Return a set without silence and without files that cannot be read (with a warning).

        Args:
            name: Name of the set, and of its list of hashes.
            folder: Folder of the recordings.
            files: Relative to it.
        """
        hashes, unreadable = hash_files(files, folder, self.output / "hashes" / name)
        found = embed_chunks(
            tuple(hashes), hashes, folder, self.embedder, cache=self.cache, chunk=self.chunk
        )
        return EmbeddedSet(
            name,
            folder,
            found.files,
            hashes,
            found.vectors,
            found.silent,
            found.silent_chunks,
            tuple(unreadable),
        )


def repeated_groups(library: EmbeddedSet, threshold: float | None) -> list[list[int]]:
    """Return the sets of recordings that hold the same samples, or chunks above a threshold.

    Args:
        library: Training set.
        threshold: Least cosine of repeated chunks; None finds the same samples alone.
    """

    def pairs() -> Iterator[Pairs]:
        linked = [pair for places in _same_samples(library) for pair in pairwise(places)]
        if linked:
            first, second = torch.tensor(linked).T
            yield Pairs(first, second, torch.ones(len(linked)))
        if threshold is not None:
            vectors = library.vectors
            for found in similar_pairs(vectors.values, threshold):
                one, other = vectors.owners[found.first], vectors.owners[found.second]
                yield Pairs(one, other, found.similarity)

    return groups(len(library.files), pairs())


def refuse_shared(unseen: EmbeddedSet, library: EmbeddedSet) -> None:
    """Check that no held-out recording was trained on.

    Raises:
        ValueError: One has the samples of a training recording.
    """
    trained = {library.hashes[file]: file for file in library.files}
    for file in unseen.files:
        if same := trained.get(unseen.hashes[file]):
            raise ValueError(
                f"{unseen.folder / file}: has the same samples as {same} of the training set; "
                "take it out of the held-out recordings"
            )


def _same_samples(library: EmbeddedSet) -> Iterable[Sequence[int]]:
    same: dict[str, list[int]] = {}
    for place, file in enumerate(library.files):
        same.setdefault(library.hashes[file], []).append(place)
    return same.values()

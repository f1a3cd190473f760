"""Embeddings on disk, by the hash of what was embedded: copies are computed once."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio_models.embedder import Embedder, recording_vector
from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.names import shortened_name

PART = 1000
"""Embeddings in a file: what an interruption can cost, and at most some MB."""


class EmbeddingCache:
    """The embeddings of one embedder, in `folder/NAME/part-NNNNN.safetensors`.

    Args:
        folder: Folder of the embeddings of all embedders.
        name: Name of the embedder.
        part: Embeddings in a file.

    Raises:
        ValueError: When a part cannot be read.
    """

    def __init__(self, folder: Path, name: str, *, part: int = PART) -> None:
        # Names may hold anything; two of them never share a folder.
        readable = shortened_name(re.sub(r"[^\w.-]+", "_", name))
        self.folder = folder / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        self.part = part
        self._known: dict[str, Tensor] = {}
        self._pending: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("part-*.safetensors")):
            self._known |= _read(path)

    def __contains__(self, key: str) -> bool:
        return key in self._known or key in self._pending

    def __len__(self) -> int:
        return len(self._known) + len(self._pending)

    def __getitem__(self, key: str) -> Float[Tensor, "width"]:
        return self._known[key] if key in self._known else self._pending[key]

    def add(self, key: str, embedding: Float[Tensor, "width"]) -> None:
        """Keep an embedding; every `part` of them are written.

        Raises:
            ValueError: When it is not finite, is zero, or is of another width than the others.
        """
        known = next(iter((self._pending or self._known).values()), None)
        if known is not None and known.shape != embedding.shape:
            raise ValueError(
                f"{key}: embedding of {embedding.shape[0]} numbers, where others have "
                f"{known.shape[0]}; give each embedder its own name"
            )
        if not torch.isfinite(embedding).all() or not embedding.any():
            raise ValueError(f"{key}: the embedding is zero or not finite; check the embedder")
        self._pending[key] = embedding.detach().to("cpu", torch.float32)
        if len(self._pending) >= self.part:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written, as one more part."""
        if not self._pending:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        keys = list(self._pending)
        content = save(
            {"embeddings": torch.stack([self._pending[key] for key in keys])},
            {"keys": msgspec.json.encode(keys).decode()},
        )
        number = len(list(self.folder.glob("part-*.safetensors")))
        replace_bytes(self.folder / f"part-{number:05d}.safetensors", content)
        self._known |= self._pending
        self._pending = {}


def embed_files(
    files: Sequence[str],
    hashes: Mapping[str, str],
    audio: Path,
    embedder: Embedder,
    *,
    cache: EmbeddingCache,
    engine: Engine | None = None,
    load: Callable[[], Embedder] | None = None,
) -> Float[Tensor, "files width"]:
    """Return the embeddings of files in order, from the cache where it has them.

    Args:
        files: Relative to `audio`; at least one.
        hashes: Hash of the audio of each file.
        audio: Folder of the recordings.
        embedder: Gets each recording whole, at its rate, as the mean of its channels.
        cache: Cache of this embedder.
        engine: What reads and embeds; this process when None.
        load: Loads the embedder in each worker; the embedder itself is sent to them when None.

    Raises:
        AudioFileError: When a file cannot be read.
        ValueError: As `EmbeddingCache.add` does, or when there is no file.
    """
    if not files:
        raise ValueError(f"{audio}: there is nothing to embed; add recordings")
    first: dict[str, str] = {}
    for file in files:
        if hashes[file] not in cache:
            first.setdefault(hashes[file], file)
    stage = Stage(
        "embeddings", partial(_embedding, audio, load or partial(_same, embedder)), model=True
    )
    made = (engine or Serial()).map(stage, list(first.values()))
    try:
        for key, vector in zip(first, made, strict=True):
            cache.add(key, vector)
    finally:
        cache.flush()
    return torch.stack([cache[key] for key in map(hashes.__getitem__, files)])


def _same(embedder: Embedder) -> Embedder:
    return embedder


def _embedding(
    audio: Path, load: Callable[[], Embedder]
) -> Callable[[str], Float[Tensor, "width"]]:
    """Return what embeds a file."""
    embedder = load()

    def vector(file: str) -> Float[Tensor, "width"]:
        found = read_audio(audio / file, sample_rate=embedder.sample_rate)
        made = recording_vector(embedder, found.samples[0].mean(dim=0))
        return made.detach().to("cpu", torch.float32)

    return vector


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            keys = msgspec.json.decode(file.metadata()["keys"], type=list[str])
            rows = file.get_tensor("embeddings")
    except (OSError, SafetensorError, KeyError, TypeError, *NOT_JSON) as error:
        raise ValueError(f"{path}: not a part of cached embeddings ({error}); delete it") from error
    return dict(zip(keys, rows, strict=True))

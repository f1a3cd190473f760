"""Latents in WebDataset shards, read by random access.

A folder holds `index.json`, and each shard twice: `shard-000000.tar`, with KEY.safetensors and
KEY.json for every recording, and `shard-000000.json`, which says where in the tar they lie.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.data.encoding import FORMAT
from stable_audio_open.data.faults import Fault
from stable_audio_open.data.latents import EncodedSet, Moments, Spread
from stable_audio_open.data.manifest import Recording
from stable_audio_open.data.recordings import holds_recordings
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.files.inside import is_name
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.manifest import INDEX

AGAIN = "run `stable-audio-open encode` again with this folder as --output"


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """What decides latents besides the recordings."""

    encoder: str
    """Fingerprint of the autoencoder's weights, without its decoder's."""
    sample_rate: int
    audio_channels: int
    downsampling: int
    """Samples per latent."""
    latent_channels: int
    window_samples: int
    """Shorter recordings are followed by silence up to this length."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the latents of a recording lie."""

    key: str
    """Name of its files in the tar, without their suffixes."""
    offset: int
    """Where in the tar its safetensors file begins, in bytes."""
    length: int
    """Bytes of that file."""
    frames: int
    seconds: float
    """Length of the recording, without the silence after it."""
    recording: Recording


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a tar, in the file beside it."""

    made_from: str
    """Checksum of the encoding, the manifest's lines, and the recordings' sizes and times."""
    sha256: str
    """Checksum of the tar."""
    bytes: int
    """Size of the tar."""
    recordings: tuple[Place, ...]
    unusable: tuple[Fault, ...]
    """Recordings that could not be read, which are left out."""
    moments: Moments
    """Sums over all latents of the shard."""


class ListedShard(msgspec.Struct, frozen=True, kw_only=True):
    """A shard, as the index knows it."""

    file: str
    sha256: str
    bytes: int
    recordings: int
    sidecar_sha256: str
    """Checksum of the file that lists its contents."""


class _Format(msgspec.Struct):
    """What an index of any version says of itself."""

    format: int


class LatentIndex(msgspec.Struct, frozen=True, kw_only=True):
    """All shards of a set."""

    format: int
    encoding: Encoding
    spread: Spread
    """Standard deviations of all latents."""
    recordings: int
    unusable: int
    """Recordings that were left out."""
    shards: tuple[ListedShard, ...]


class ShardedLatents(NamedTuple):
    """Means and standard deviations of a recording's latents inside a tar."""

    path: Path
    offset: int
    length: int
    channels: int
    frames: int
    seconds: float

    def read(self, start: int, length: int) -> Float[Tensor, "2 latent_channels length"]:
        """Read means and standard deviations of `length` latents from `start` on.

        Raises:
            ValueError: When they are not where they should be.
        """
        numbers = 2 * 4 * self.channels * self.frames
        with self.path.open("rb") as file:
            file.seek(self.offset)
            # A safetensors file is the size of its header, the header, and the numbers.
            header = int.from_bytes(file.read(8), "little")
            end = file.seek(0, 2)
            if 8 + header + numbers != self.length or self.offset + self.length > end:
                raise ValueError(f"{self.path}: is damaged; delete it and {AGAIN}")
            posterior = np.memmap(
                file,
                dtype="<f4",
                mode="r",
                offset=self.offset + 8 + header,
                shape=(2, self.channels, self.frames),
            )
        return torch.from_numpy(posterior[:, :, start : start + length].copy())


def shard_path(folder: Path, number: int) -> Path:
    """Return the tar of a shard, counted from 0."""
    return folder / f"shard-{number:06d}.tar"


def sidecar_path(tar: Path) -> Path:
    """Return the file that lists the contents of a tar."""
    return tar.with_suffix(".json")


def read_index(folder: Path) -> LatentIndex:
    """Read the index of a folder of shards.

    Raises:
        ValueError: When there is none, or none of ours.
    """
    path = folder / INDEX
    if holds_recordings(folder):
        raise ValueError(
            f"{path}: lists recordings, not latents; encode them, or train on them with "
            f'{{"type": "folder", "path": ..., "manifest": "{INDEX}"}}'
        )
    found, _ = read_json(path, _Format)
    if found.format != FORMAT:
        older = ", which holds no standard deviations" * (found.format == 1)
        raise ValueError(f"{path}: has format {found.format}{older}; allowed: {FORMAT}; {AGAIN}")
    index, _ = read_json(path, LatentIndex)
    for listed in index.shards:
        if not is_name(listed.file):
            raise ValueError(
                f"{path}: a shard is named {listed.file!r}; allowed: names of files beside it"
            )
    return index


def open_shards(folder: Path, encoding: Encoding) -> EncodedSet:
    """Return recordings and latents of a folder of shards, for a model of this encoding.

    Sizes and lists are checked; `verify_shards` checks the latents too.

    Raises:
        ValueError: When a file is missing or damaged, or was made for another model.
    """
    index = read_index(folder)
    for name in Encoding.__struct_fields__:
        theirs, ours = getattr(index.encoding, name), getattr(encoding, name)
        if theirs != ours:
            raise ValueError(
                f"{folder / INDEX}: was encoded with {name} {theirs}, and the model has {ours}; "
                "encode into another folder, or use the configuration that it was encoded with"
            )
    places: list[Place] = []
    latents: list[ShardedLatents] = []
    for listed in index.shards:
        tar = folder / listed.file
        for place in _contents(tar, listed).recordings:
            places.append(place)
            latents.append(
                ShardedLatents(
                    tar,
                    place.offset,
                    place.length,
                    encoding.latent_channels,
                    place.frames,
                    place.seconds,
                )
            )
    return EncodedSet([place.recording for place in places], latents, index.spread)


def verify_shards(folder: Path) -> None:
    """Compare every shard with its checksum.

    Raises:
        ValueError: When one differs, is missing or is damaged.
    """
    for listed in read_index(folder).shards:
        tar = folder / listed.file
        _contents(tar, listed)
        if file_hash(tar) != listed.sha256:
            raise ValueError(
                f"{tar}: its contents are not those that were written; delete it and {AGAIN}"
            )


Kind = TypeVar("Kind")


def read_json(path: Path, kind: type[Kind]) -> tuple[Kind, str]:
    """Read a file of this format, and return its checksum too.

    Raises:
        ValueError: When it cannot be read.
    """
    try:
        content = path.read_bytes()
        return msgspec.json.decode(content, type=kind), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    except NOT_JSON as error:
        raise ValueError(f"{path}: is damaged ({error}); {AGAIN}") from error


def size_of(path: Path) -> int | None:
    """Return the bytes of a file, None where there is none."""
    return path.stat().st_size if path.is_file() else None


def _contents(tar: Path, listed: ListedShard) -> Shard:
    """Read what a tar holds, after a look at its size."""
    size = size_of(tar)
    if size != listed.bytes:
        found = "is missing" if size is None else f"holds {size} bytes instead of {listed.bytes}"
        raise ValueError(f"{tar}: {found}; {AGAIN}")
    shard, digest = read_json(sidecar_path(tar), Shard)
    if digest != listed.sidecar_sha256:
        raise ValueError(
            f"{sidecar_path(tar)}: is not the one that {INDEX} lists, as when an encoding was "
            f"interrupted; {AGAIN}"
        )
    return shard

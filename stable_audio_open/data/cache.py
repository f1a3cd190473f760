"""Recordings encoded once, each kept in a file of its own."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stable_audio_open.audio.files import AudioFileError, audio_info
from stable_audio_open.data.encoding import (
    ENTRY,
    FORMAT,
    Encoded,
    LatentEncoder,
    encode_recording,
    encoder_fingerprint,
)
from stable_audio_open.data.faults import Faults
from stable_audio_open.data.manifest import Recording
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.files.inside import is_inside

logger = logging.getLogger(__name__)

LONGEST_NAME = 255
"""Bytes of a file's name."""


class CachedLatents(NamedTuple):
    """The latents of a recording in a file of their own."""

    path: Path
    channels: int
    frames: int
    seconds: float
    """Length of the recording, without the silence after it."""
    key: str
    """What they were made from."""

    def read(self, start: int, length: int) -> Float[Tensor, "2 channels length"]:
        """Read means and standard deviations of `length` latents from `start` on.

        Raises:
            ValueError: The file is another one by now, or holds fewer.
        """
        with safe_open(self.path, framework="pt") as file:
            if (file.metadata() or {}).get("key") != self.key:
                raise ValueError("they are of another recording or window than at the start")
            posterior: Tensor = file.get_slice(ENTRY)[:, :, start : start + length]
        if posterior.shape[-1] != length:
            raise ValueError(f"{posterior.shape[-1]} of {length} are there")
        return posterior.clone()


def encode_recordings(
    *,
    autoencoder: LatentEncoder,
    recordings: Sequence[Recording],
    folder: str | Path,
    cache: str | Path,
    channels: int,
    window_samples: int,
    progress: Callable[[int, int], None] | None = None,
    faults: Faults | None = None,
) -> list[CachedLatents | None]:
    """Encode each recording into a safetensors file below `cache`, in their order.

    Files made with other weights lie in another sub-folder, and all that decides a file names it:
    runs of other windows or folders may share a cache, at the same time too. A recording is encoded
    again only when its own bytes, or these arguments, have changed, where its file is damaged, or
    where an earlier version kept means alone. An interrupted run goes on where it stopped.

    Args:
        autoencoder: it decides the sample rate; audio is moved to the device of its weights.
        recordings: lines of the manifest; two may share a file.
        folder: where the recordings are.
        cache: where the latents go; created when missing.
        channels: audio channels that the autoencoder takes.
        window_samples: the diffusion model's window.
        progress: called with (done, total) after each recording.
        faults: takes the recordings that cannot be read, which then are None.

    Raises:
        AudioFileError: a recording cannot be read, and there is no `faults`.
        ValueError: the file of a recording leads out of the folder, or of the cache.
    """
    for recording in recordings:
        if not is_inside(recording.file):
            raise ValueError(f"file is {recording.file!r}; give a path inside {folder}")
    weights = encoder_fingerprint(autoencoder)
    target = Path(cache) / weights[:16]
    cached: list[CachedLatents | None] = []
    encoded = older = 0
    for number, recording in enumerate(recordings, start=1):
        source = Path(folder) / recording.file
        try:
            audio_info(source)  # says in one line what is wrong with a file that cannot be used
            content = file_hash(source)
            key = f"{content} {weights} {autoencoder.sample_rate} {channels} {window_samples}"
            path = _path(target, recording.file, key)
            if not _is_whole(path, key):
                older += _is_older(target / f"{recording.file}.safetensors")
                made = encode_recording(
                    autoencoder, source, channels=channels, window_samples=window_samples
                )
                _write(path, made, file=recording.file, key=key)
                encoded += 1
            cached.append(read_header(path))
        except AudioFileError as error:
            if faults is None:
                raise
            faults.add(recording.file, str(error))
            cached.append(None)
        if progress is not None:
            progress(number, len(recordings))
    if older:
        logger.warning(
            "%s: %d recordings had been encoded by an earlier version, which kept no standard "
            "deviations; they were encoded again, and the older files are needed no more",
            target,
            older,
        )
    logger.info("%s: %d recordings are encoded, %d of them now", target, len(recordings), encoded)
    return cached


def read_header(path: Path) -> CachedLatents:
    """Return shape and metadata of a cached file.

    Raises:
        ValueError: it is not one of our cached files.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != str(FORMAT):
                raise ValueError(f"its format is {metadata.get('format', 1)}, not {FORMAT}")
            _, channels, frames = file.get_slice(ENTRY).get_shape()
            return CachedLatents(
                path, channels, frames, float(metadata["seconds"]), metadata["key"]
            )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of cached latents ({error}); delete it and encode again"
        ) from error


def _path(target: Path, file: str, key: str) -> Path:
    """Return where the latents of a recording go."""
    named, short = target / file, hashlib.sha256(key.encode()).hexdigest()[:16]
    path = named.with_name(f"{named.name}.{short}.safetensors")
    # What file systems take; the key alone would do, and the name is for readers.
    return path if len(os.fsencode(path.name)) <= LONGEST_NAME else named.with_name(path.name[-28:])


def _is_whole(path: Path, key: str) -> bool:
    """Return whether a file holds what was written, made from this; its bytes are read."""
    if not path.is_file():
        return False
    try:
        found = read_header(path)
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get("sha256")
        if stored != _checksum(found.read(0, found.frames)):
            raise ValueError(f"{path}: is damaged; its recording is encoded again")
    except (ValueError, OSError, SafetensorError) as error:
        logger.warning("%s", error)
        return False
    return found.key == key


def _checksum(posterior: Tensor) -> str:
    return hashlib.sha256(posterior.contiguous().numpy().data).hexdigest()


def _is_older(path: Path) -> bool:
    """Return whether a file holds what the first version kept: means alone."""
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys()) == {"latents"} and "key" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _write(path: Path, encoded: Encoded, *, file: str, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": str(FORMAT),
        "file": file,
        "seconds": json.dumps(encoded.seconds),
        "key": key,
        "sha256": _checksum(encoded.posterior),
    }
    replace_bytes(path, save({ENTRY: encoded.posterior}, metadata))

"""How well recordings survive an autoencoder (section 4.1, tables 3 and 4)."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median

import msgspec
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.distances import (
    Distances,
    reconstruction_distances,
    sounding_channels,
)
from stable_audio_open.evaluation.result import Result, UnmeasurableError
from stable_audio_open.evaluation.sets import match, recordings_by_id

DEFINITION = (
    f"auraloss {version('auraloss')} with its defaults, one file at a time: STFT distance "
    "(1024/256), MEL distance (128 bands), multi-resolution STFT distance, SI-SDR in dB; silent "
    "originals are left out, and SI-SDR leaves out the silent channels of an original"
)
MISFIT = 0.1
"""Seconds by which a decoded recording may be longer or shorter: the rest is cut off."""

Decode = Callable[[Audio], Float[Tensor, "channels time"]]


class ReconstructedRecording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that was decoded."""

    distances: Distances
    silent: bool
    """What came out never exceeds -60 dB of full scale."""
    sample_rate: int
    """Hertz, at which it was compared."""
    channels: int
    """Channels, at which it was compared."""
    silent_channel: bool
    """A channel of the original never exceeds -60 dB, while another one does."""


class ReconstructionResult(Result, frozen=True, kw_only=True):
    """Distances of decoded recordings to their originals; `files` counts the measured ones."""

    mean: Distances
    median: Distances
    silent_originals: tuple[str, ...]
    """Ids that are in no figure: distances to silence mean nothing."""
    silent_channels: tuple[str, ...]
    """Ids of originals with a silent channel, which SI-SDR leaves out."""
    per_file: dict[str, Distances]
    """Distances by id."""


def evaluate_autoencoder(
    folder: Path,
    decode: Decode,
    *,
    sample_rate: int,
    channels: int,
    checkpoint: str,
    checkpoint_hash: str | None,
) -> ReconstructionResult:
    """Send recordings through an autoencoder and compare.

    Args:
        folder: Folder of the originals.
        decode: Encodes and decodes a batch of one at its own length.
        sample_rate: Rate of the autoencoder; recordings are brought to it.
        channels: Channels of the autoencoder; recordings are brought to them.
        checkpoint: Name of the autoencoder.
        checkpoint_hash: Hash of its weights.

    Raises:
        AudioFileError: A recording cannot be read.
        FloatingPointError: One is decoded to NaN or infinite samples.
        UnmeasurableError: All recordings are silent.
    """
    measured = {
        name: measure_decoding(path, decode, sample_rate=sample_rate, channels=channels)
        for name, path in recordings_by_id(folder).items()
    }
    return reconstruction_result(
        folder, measured, checkpoint=checkpoint, checkpoint_hash=checkpoint_hash
    )


def measure_decoding(
    path: Path, decode: Decode, *, sample_rate: int, channels: int
) -> ReconstructedRecording | None:
    """Send a recording through an autoencoder and compare; see `evaluate_autoencoder`.

    Returns:
        None for a silent recording.

    Raises:
        AudioFileError: The recording cannot be read.
        FloatingPointError: It is decoded to NaN or infinite samples.
    """
    original = read_audio(path, sample_rate=sample_rate, channels=channels)
    if is_silent(original.samples):
        return None
    try:
        decoded = decode(original)
    except FloatingPointError as error:
        raise FloatingPointError(f"{path}: {error}") from error
    if not decoded.isfinite().all():
        raise FloatingPointError(f"{path}: decoded to NaN or infinite samples; check the model")
    return ReconstructedRecording(
        distances=reconstruction_distances(decoded, original.samples[0], sample_rate=sample_rate),
        silent=is_silent(decoded),
        sample_rate=sample_rate,
        channels=channels,
        silent_channel=len(sounding_channels(original.samples[0])) < channels,
    )


def evaluate_decoded(
    decoded: Path,
    originals: Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    allow_missing: bool = False,
    memory: ResultCache | None = None,
) -> ReconstructionResult:
    """Compare the recordings of a folder with their originals.

    Args:
        decoded: Folder of the recordings that are judged.
        originals: Folder of those that they are compared with.
        sample_rate: In hertz, at which they are compared; None for that of each original.
        channels: At which they are compared; None for those of each original.
        allow_missing: Compare what both folders have.
        memory: Distances of recordings, for sets that share some.

    Raises:
        AudioFileError: A recording cannot be read.
        UnmeasurableError: All originals are silent.
        ValueError: The ids differ, or two recordings differ in length by more than 0.1 s.
    """
    own, theirs = recordings_by_id(decoded), recordings_by_id(originals)
    ids = match(own, theirs, names=(decoded, originals), allow_missing=allow_missing)
    measure: Callable[[Path, Path], ReconstructedRecording | None] = partial(
        _measure, sample_rate, channels
    )
    if memory is not None:
        measure = memory.of(measure, "distances", sample_rate, channels)
    measured = {name: measure(own[name], theirs[name]) for name in ids.common}
    return reconstruction_result(
        decoded, measured, reference=str(originals), missing=ids.missing, extra=ids.extra
    )


def _measure(
    sample_rate: int | None, channels: int | None, decoded: Path, original: Path
) -> ReconstructedRecording | None:
    """Return nothing for a silent original."""
    wanted = read_audio(original, sample_rate=sample_rate, channels=channels)
    if is_silent(wanted.samples):
        return None
    rate, count = wanted.sample_rate, wanted.channels
    mine = read_audio(decoded, sample_rate=rate, channels=count)
    if abs(mine.duration - wanted.duration) > MISFIT:
        raise ValueError(
            f"{decoded}: is {mine.duration:.2f} s long, its original {wanted.duration:.2f} s; "
            "decode it at the original length"
        )
    length = min(mine.samples.shape[-1], wanted.samples.shape[-1])
    theirs = wanted.samples[0, :, :length]
    distances = reconstruction_distances(mine.samples[0, :, :length], theirs, sample_rate=rate)
    return ReconstructedRecording(
        distances=distances,
        silent=is_silent(mine.samples),
        sample_rate=rate,
        channels=count,
        silent_channel=len(sounding_channels(theirs)) < count,
    )


def reconstruction_result(
    audio: Path,
    measured: Mapping[str, ReconstructedRecording | None],
    *,
    reference: str | None = None,
    missing: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
    checkpoint: str | None = None,
    checkpoint_hash: str | None = None,
) -> ReconstructionResult:
    """Return the mean and median of what was measured.

    Args:
        audio: Folder of the recordings that are judged.
        measured: By id; None for a silent original.
        reference: Folder of the originals, where there is one.
        missing: Ids that the originals alone have.
        extra: Ids that have no original.
        checkpoint: Name of the autoencoder, where it is known.
        checkpoint_hash: Hash of its weights, where they are known.

    Raises:
        UnmeasurableError: All originals are silent.
    """
    found = {name: one for name, one in measured.items() if one is not None}
    silent_originals = tuple(name for name, one in measured.items() if one is None)
    if not found:
        raise UnmeasurableError(
            f"{audio}: there is nothing to measure ({len(silent_originals)} originals are silent); "
            "give recordings with sound"
        )
    rows = {name: one.distances for name, one in found.items()}
    rates = {one.sample_rate for one in found.values()}
    counts = {one.channels for one in found.values()}
    return ReconstructionResult(
        definition=DEFINITION,
        audio=str(audio),
        reference=reference,
        checkpoint=checkpoint,
        checkpoint_hash=checkpoint_hash,
        sample_rate=rates.pop() if len(rates) == 1 else None,
        channels=counts.pop() if len(counts) == 1 else None,
        files=len(rows),
        windows=len(rows),
        silent=tuple(name for name, one in found.items() if one.silent),
        silent_originals=silent_originals,
        silent_channels=tuple(name for name, one in found.items() if one.silent_channel),
        missing=missing,
        extra=extra,
        mean=_over(rows, fmean),
        median=_over(rows, median),
        per_file=rows,
    )


def _over(rows: dict[str, Distances], function: Callable[[list[float]], float]) -> Distances:
    table = [msgspec.structs.asdict(row) for row in rows.values()]
    return Distances(**{name: function([row[name] for row in table]) for name in table[0]})

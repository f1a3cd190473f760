"""Audio files to tensors: seeks, reads only what is asked for, and refuses what is damaged.

A path such as `set/shard-000000.tar/KEY.flac` names a file inside a tar, which is read in place.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.channels import to_channels
from stable_audio_open.audio.containers import is_cut_off
from stable_audio_open.audio.resample import resample, resampled_length
from stable_audio_open.files.tars import ArchiveError, open_bytes, tar_of

MARGIN = 1024
"""Samples of the slower rate read on both sides of an excerpt so that resampling it equals
resampling the whole file."""


class AudioFileError(ValueError):
    """A file that cannot be used as audio; the message is one line and names it."""


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says."""

    frames: int
    sample_rate: int
    channels: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


def audio_info(path: str | Path) -> AudioInfo:
    """Return length, rate and channels of the file, from its header.

    Raises:
        AudioFileError: the file is missing, empty, cut off or not audio.
    """
    path = Path(path)
    with _open(path) as file:
        return AudioInfo(file.frames, file.samplerate, file.channels)


def read_audio(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Read a WAV, FLAC, Ogg or MP3 file, or a part of it, as a batch of one.

    Args:
        path: the file.
        sample_rate: wanted rate; the file's own when None.
        channels: wanted channels (mono is copied, stereo averaged); the file's own when None.
        start: seconds to skip.
        duration: at most so many seconds; to the end when None.

    Raises:
        AudioFileError: the file is missing, unreadable, empty, truncated or holds NaN.
        ValueError: `start` or `duration` out of range, or an unsupported channel conversion.
    """
    path = Path(path)
    if duration is not None and not duration > 0:
        raise ValueError(f"{path}: duration must be positive, got {duration} s")
    with _open(path) as file:
        total = file.frames / file.samplerate
        if not 0 <= start < total:
            raise ValueError(f"{path}: start must lie within 0..{total:.3f} s, got {start} s")
        rate = file.samplerate if sample_rate is None else sample_rate
        samples = _read_excerpt(file, path, rate=rate, start=start, duration=duration)
    _refuse_nan(samples, path)
    if channels is not None:
        try:
            samples = to_channels(samples, channels)
        except ValueError as error:
            raise AudioFileError(f"{path}: {error}") from error
    return Audio(samples, rate)


def audio_blocks(path: str | Path, *, frames: int = 1 << 20) -> Iterator[Audio]:
    """Yield a file from start to end in blocks of at most `frames`, each a batch of one.

    Raises:
        AudioFileError: the file is missing, unreadable, empty, truncated or holds NaN.
    """
    path = Path(path)
    with _open(path) as file:
        for first in range(0, file.frames, frames):
            samples = _read_frames(file, path, first, min(first + frames, file.frames))
            _refuse_nan(samples, path)
            yield Audio(samples, file.samplerate)


def _refuse_nan(samples: Float[Tensor, "1 channels time"], path: Path) -> None:
    if not torch.isfinite(samples).all():
        raise AudioFileError(
            f"{path}: holds NaN or infinite samples; export the recording again or leave it out"
        )


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    with _open_whole(path) as raw:
        try:
            # libsndfile opens what it can by itself, which spares it calls into Python.
            file = soundfile.SoundFile(path if tar_of(path) is None else raw)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(
                f"{path}: not a readable audio file ({error.error_string.rstrip('.')}); use WAV, "
                "FLAC, Ogg or MP3"
            ) from error
        with file:
            if file.frames <= 0:
                raise AudioFileError(f"{path}: holds no audio (0 samples); leave it out")
            yield file


def _open_whole(path: Path) -> BufferedReader:
    """Open the bytes of a file that is not empty or visibly cut off, at their start."""
    try:
        raw = open_bytes(path)
        try:
            _refuse_cut(raw, path)
        except BaseException:
            raw.close()
            raise
    except ArchiveError as error:
        raise AudioFileError(str(error)) from error
    except FileNotFoundError as error:
        raise AudioFileError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise AudioFileError(
            f"{path}: cannot be opened ({error.strerror}); check the path and its permissions"
        ) from error
    return raw


def _refuse_cut(raw: BufferedReader, path: Path) -> None:
    if not raw.read(1):
        raise AudioFileError(f"{path}: the file is empty (0 bytes); download or export it again")
    if is_cut_off(raw):
        raise AudioFileError(
            f"{path}: the file is truncated (it ends before its header says); download or export "
            "it again"
        )
    raw.seek(0)


def _read_excerpt(
    file: soundfile.SoundFile, path: Path, *, rate: int, start: float, duration: float | None
) -> Float[Tensor, "1 channels time"]:
    """Samples of [start, start + duration) at `rate`; shorter where the file ends."""
    source = file.samplerate
    first = round(start * rate)
    last = resampled_length(file.frames, source, rate)
    if duration is not None:
        last = min(last, first + max(1, round(duration * rate)))
    if source == rate:
        return _read_frames(file, path, first, last)
    # The excerpt starts where a source frame and a target sample coincide.
    divisor = math.gcd(source, rate)
    step_in, step_out = source // divisor, rate // divisor
    margin = MARGIN * max(1, math.ceil(source / rate))
    begin = max(0, (first * source // rate - margin) // step_in) * step_in
    end = min(file.frames, math.ceil(last * source / rate) + margin)
    samples = resample(_read_frames(file, path, begin, end), source, rate)
    offset = begin // step_in * step_out
    return samples[..., first - offset : last - offset].contiguous()


def _read_frames(
    file: soundfile.SoundFile, path: Path, first: int, last: int
) -> Float[Tensor, "1 channels time"]:
    wanted = last - first
    try:
        if file.tell() != first:
            file.seek(first)
        frames = file.read(wanted, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            f"{path}: the file is truncated or damaged ({error.error_string.rstrip('.')}); "
            "download or export it again"
        ) from error
    if len(frames) < wanted:
        raise AudioFileError(
            f"{path}: the file is truncated: {first + len(frames)} of {file.frames} samples could "
            "be read; download or export it again"
        )
    return torch.from_numpy(frames).T.contiguous()[None]

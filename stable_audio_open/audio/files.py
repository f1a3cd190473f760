"""Audio files to tensors: seeks, reads only what is asked for, and refuses what is damaged.

A path such as `set/shard-000000.tar/KEY.flac` names a file inside a tar, which is read in place.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import rounded_down
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.channels import to_channels
from stable_audio_open.audio.open_recording import AudioFileError, OpenRecording, open_recording
from stable_audio_open.audio.resample import resample, resampled_length

__all__ = ["AudioFileError", "AudioInfo", "audio_blocks", "audio_info", "read_audio"]

MARGIN = 1024
"""Samples of the slower rate read on both sides of an excerpt so that resampling it equals
resampling the whole file."""


@dataclass(frozen=True)
class AudioInfo:
    """How long an audio file is, and of what rate and channels."""

    frames: int
    sample_rate: int
    channels: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


LOUDEST = 1e6
"""Samples above it, 120 dB over full scale, are none of a sound: networks overflow at them."""


def audio_info(path: str | Path) -> AudioInfo:
    """Return length, rate and channels of the file; no sound is decoded.

    The length is that of the header. Of an MP3 file the frames are counted, and a header that
    leaves the length open, as those of files from a pipe do, is filled in.

    Raises:
        AudioFileError: the file is missing, empty, cut off, not audio, or of a rate outside of
            1 kHz to 768 kHz.
    """
    path = Path(path)
    with open_recording(path) as file:
        return AudioInfo(file.frames, file.sample_rate, file.channels)


def read_audio(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Read a WAV, FLAC, Ogg, MP3, AIFF, W64, RF64, AU or CAF file, or a part of it.

    Args:
        path: the file.
        sample_rate: wanted rate; the file's own when None.
        channels: wanted channels (mono is copied, stereo averaged); the file's own when None.
        start: seconds to skip.
        duration: at most so many seconds; to the end when None.

    Returns:
        A batch of one.

    Raises:
        AudioFileError: the file is missing, unreadable, empty, truncated or holds NaN.
        ValueError: `start` or `duration` out of range, or an unsupported channel conversion.
    """
    path = Path(path)
    if duration is not None and not duration > 0:
        raise ValueError(f"{path}: duration must be positive, got {duration} s")
    with open_recording(path) as file:
        total = file.frames / file.sample_rate
        if not 0 <= start < total:
            raise ValueError(
                f"{path}: start must lie within 0..{rounded_down(total)} s, got {start} s"
            )
        rate = file.sample_rate if sample_rate is None else sample_rate
        samples = _read_excerpt(file, rate=rate, start=start, duration=duration)
    _refuse_no_sound(samples, path)
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
    with open_recording(path) as file:
        for first in range(0, file.frames, frames):
            samples = file.read(first, min(first + frames, file.frames))
            _refuse_no_sound(samples, path)
            yield Audio(samples, file.sample_rate)


def _refuse_no_sound(samples: Float[Tensor, "1 channels time"], path: Path) -> None:
    if not torch.isfinite(samples).all():
        raise AudioFileError(
            f"{path}: holds NaN or infinite samples; export the recording again or leave it out"
        )
    peak = float(samples.abs().max()) if samples.numel() else 0.0
    if peak > LOUDEST:
        raise AudioFileError(
            f"{path}: peaks at {peak:g}, and full scale is 1: its samples are no sound; export the "
            "recording again or leave it out"
        )


def _read_excerpt(
    file: OpenRecording, *, rate: int, start: float, duration: float | None
) -> Float[Tensor, "1 channels time"]:
    """Samples of [start, start + duration) at `rate`; shorter where the file ends."""
    source = file.sample_rate
    first = round(start * rate)
    last = resampled_length(file.frames, source, rate)
    if duration is not None:
        last = min(last, first + max(1, round(duration * rate)))
    if source == rate:
        return file.read(first, last)
    # The excerpt starts where a source frame and a target sample coincide.
    divisor = math.gcd(source, rate)
    step_in, step_out = source // divisor, rate // divisor
    margin = MARGIN * max(1, math.ceil(source / rate))
    begin = max(0, (first * source // rate - margin) // step_in) * step_in
    end = min(file.frames, math.ceil(last * source / rate) + margin)
    samples = resample(file.read(begin, end), source, rate)
    offset = begin // step_in * step_out
    return samples[..., first - offset : last - offset].contiguous()

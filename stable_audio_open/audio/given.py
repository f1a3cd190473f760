"""Sounds in the forms that people have them in."""

import logging
import math
import os
from dataclasses import replace
from numbers import Integral
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stable_audio_open.arguments.checks import shown, type_name
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.channels import to_channels
from stable_audio_open.audio.files import audio_info, read_audio

logger = logging.getLogger(__name__)

GivenAudio: TypeAlias = Audio | str | PathLike[str] | tuple[Tensor, int] | tuple[int, Any]
"""A sound, a path, a tensor `[[batch,] channels, time]` with its rate, or a rate with samples
`[time]` or `[time, channels]` (a NumPy array, as pages and SciPy give them)."""

MARGIN = 1.0
"""Seconds that are read beyond those that are used, for resampling and for the warning."""
LOUDEST = 10.0
"""Peak above which samples cannot be meant as -1..1 (+20 dB)."""


def as_audio(
    given: GivenAudio, name: str, *, channels: int | None = None, most: float = math.inf
) -> Audio:
    """Return a sound in any of its forms as `Audio`.

    Integers are scaled to -1..1 by the range of their type; floats are taken as they are.

    Args:
        given: The sound.
        name: What it is called in errors.
        channels: Wanted channels (mono is copied, stereo averaged); those that there are when None.
        most: Seconds that will be used; a warning tells that a sound is longer, and little more
            is read of a file.

    Raises:
        TypeError: When it is of no such form.
        ValueError: When it is empty, holds NaN or infinite samples, or is far too loud.
        AudioFileError: When a file cannot be read.
    """
    audio = converted(given, name, channels=channels, most=most)
    if not audio.samples.numel():
        raise ValueError(f"{name} holds no samples; give a sound")
    if audio.duration > most:
        _tell_cut(name, most)
    if not audio.samples.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite samples; repair the recording")
    peak = float(audio.samples.abs().max())
    if peak > LOUDEST:
        raise ValueError(
            f"{name} peaks at {peak:g}, and samples are expected within -1..1; divide integers "
            "in floats by their full scale (32768 of 16 bits)"
        )
    if peak > 1:
        logger.warning(
            "%s peaks %.1f dB above full scale; models are trained on sound within it",
            name,
            20 * math.log10(peak),
        )
    if channels is not None:
        try:
            audio = replace(audio, samples=to_channels(audio.samples, channels))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return audio


def converted(
    given: Any, name: str, *, channels: int | None = None, most: float = math.inf
) -> Audio:
    """Return a sound in any of its forms as `Audio`, whatever its samples are.

    Args:
        given: The sound.
        name: What it is called in errors.
        channels: Channels that a file is read with; its own when None.
        most: Seconds that will be used; of a file little more is read.

    Raises:
        TypeError: When it is of no such form.
        ValueError: When samples have another shape.
        AudioFileError: When a file cannot be read.
    """
    # NumPy's arrays would be sequences too, of which those of no dimension have no length.
    match None if isinstance(given, np.ndarray) else given:
        case Audio() as audio:
            return audio
        case str() | PathLike():
            path = os.fspath(given)
            if audio_info(path).duration > most + MARGIN:
                return read_audio(path, channels=channels, duration=most + MARGIN)
            return read_audio(path, channels=channels)
        case (Tensor() as samples, Integral() as rate):
            if samples.ndim not in (2, 3):
                raise ValueError(
                    f"{name}: a tensor must be [channels, time] or [batch, channels, time], got "
                    f"{list(samples.shape)}"
                )
            scaled = _scaled(samples, name)
            return Audio(scaled[None] if scaled.ndim == 2 else scaled, int(rate))
        case (Integral() as rate, samples) if hasattr(samples, "__array__"):
            try:
                tensor = torch.as_tensor(samples)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"{name}: samples must be numbers, got {shown(samples)} ({type_name(samples)})"
                ) from error
            if tensor.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: an array must be [time] or [time, channels], got {list(tensor.shape)}"
                )
            scaled = _scaled(tensor, name)
            return Audio(scaled[None, None] if scaled.ndim == 1 else scaled.T[None], int(rate))
        case _:
            raise TypeError(
                f"{name} must be a path, an Audio, (tensor [channels, time], rate) or (rate, "
                f"array [time, channels]), got {_form(given)}"
            )


def _form(given: object) -> str:
    """Return what was given instead of a sound; of a pair, what it is made of."""
    if isinstance(given, tuple) and len(given) == 2:
        return f"({', '.join(map(type_name, given))})"
    return type_name(given)


def _tell_cut(name: str, most: float) -> None:
    logger.warning("%s is longer than the %.2f s that are worked on: its start is used", name, most)


def _scaled(samples: Tensor, name: str) -> Tensor:
    """Return float32 samples; integers by the full scale of their type."""
    samples = samples.detach().cpu()
    if samples.is_floating_point():
        return samples.float().contiguous()
    if samples.dtype == torch.uint8:
        return (samples.float() - 128) / 128
    if samples.dtype in (torch.int16, torch.int32):
        return (samples.double() / -torch.iinfo(samples.dtype).min).float()
    raise TypeError(
        f"{name}: samples must be floats or integers of 8 (unsigned), 16 or 32 bits, got "
        f"{samples.dtype}"
    )

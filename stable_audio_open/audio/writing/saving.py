"""Tensors to WAV, FLAC, Ogg and MP3 files, never clipped and never half-written."""

import logging
import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.formats import LOSSY, Subtype, encode, refused_forms
from stable_audio_open.audio.writing.places import AudioSaveError, check_target
from stable_audio_open.audio.writing.tags import (
    Tags,
    check_beside,
    remove_beside,
    tags_beside,
    write_out,
)
from stable_audio_open.files.atomic import replace_together

logger = logging.getLogger(__name__)

LOSSLESS_PEAK = 1.0
LOSSY_PEAK = 0.999


def save_audio(
    path: Path,
    samples: Float[Tensor, "channels time"],
    sample_rate: int,
    *,
    subtype: Subtype = "pcm24",
    keep_level: bool = False,
    tags: Tags | None = None,
) -> Path:
    """Write one item to `path`, in the format of its suffix, and return the path.

    An item louder than full scale is scaled down as a whole, with a warning, or left as loud as it
    is for measurements (`keep_level`, float samples only). The file is written beside its place and
    renamed, so a failure leaves an earlier file untouched. Tags (see `audio.tags`) are in the file,
    or in `FILE.json` where they are long; the same samples and tags give the same WAV, FLAC or MP3.

    Raises:
        ValueError: unknown suffix or subtype, a subtype that cannot keep the level, samples that
            are empty or not finite, or a `FILE.json` of somebody else where that is needed.
        AudioSaveError: the folder is missing or cannot be written, or the disk is full.
    """
    suffix = check_target(path, subtype)
    if keep_level and subtype != "float":
        raise ValueError(f"{path}: only float samples keep their level; pass subtype='float'")
    samples = samples.detach().to("cpu", torch.float32)
    if samples.numel() == 0:
        raise ValueError(f"{path}: there are no samples to save; generate or read some first")
    bad = int((~torch.isfinite(samples)).sum())
    if bad:
        raise ValueError(
            f"{path}: {bad} of {samples.numel()} samples are NaN or infinite; nothing was saved: "
            "try dtype float32 or another checkpoint"
        )
    peak = LOSSY_PEAK if suffix in LOSSY else LOSSLESS_PEAK
    samples, decibels = (samples, 0.0) if keep_level else limit_peak(samples, peak)
    if decibels:
        logger.warning(
            "%s: the peak exceeded full scale; turned down by %.2f dB to avoid clipping",
            path,
            decibels,
        )
    comment, beside = write_out(tags or {})
    if beside is not None:
        check_beside(path)
    with refused_forms(path, sample_rate, len(samples)):
        content = encode(samples, sample_rate, suffix, subtype, comment=comment)
    try:
        if beside is None:
            replace_together({path: content})
            remove_beside(path)
        else:
            replace_together({path: content, tags_beside(path): beside})
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise AudioSaveError(
            f"{path}: could not be saved: {reason}; free some space or choose another folder "
            "(an earlier file of this name is untouched)"
        ) from error
    return path

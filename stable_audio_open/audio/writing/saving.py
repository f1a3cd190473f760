"""Tensors to WAV, FLAC, Ogg and MP3 files, never clipped and never half-written."""

import io
import logging
import math
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.writing.tags import (
    Tags,
    check_beside,
    remove_beside,
    tags_beside,
    write_out,
)
from stable_audio_open.files.atomic import replace_together

logger = logging.getLogger(__name__)

Subtype = Literal["pcm16", "pcm24", "float"]
SUBTYPES: tuple[Subtype, ...] = ("pcm16", "pcm24", "float")

FORMATS: dict[str, tuple[str, str]] = {
    ".wav": ("WAV", "PCM_24"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Suffix -> libsndfile's format and subtype."""

LOSSY = frozenset({".ogg", ".mp3"})
VORBIS_RATE, VORBIS_CHANNELS = 200_000, 255
"""The most that Ogg files are encoded with."""
LONGEST_NAME = 250
"""Bytes of a name that `.json` can stand behind."""
RIFF_BYTES = 12
"""Bytes of a WAV file before its first chunk."""
LOSSLESS_PEAK = 1.0
ROUNDING = 1e-6
"""By how much a sum of full scale may exceed it in single precision."""
LOSSY_PEAK = 0.999
BLOCK = 65536
"""Frames given to the encoder at once (libsndfile's Vorbis encoder needs stack in proportion)."""


class AudioSaveError(OSError):
    """A file could not be written; the message is one line and names it."""


def limit_peak(
    samples: Float[Tensor, "channels time"], peak: float = LOSSLESS_PEAK
) -> tuple[Float[Tensor, "channels time"], float]:
    """Scale the whole item down to `peak` if it is louder; return it and the decibels taken off.

    What exceeds it by rounding alone, as what a limiter gives, is brought back to it.
    """
    found = float(samples.abs().max()) if samples.numel() else 0.0
    if found <= peak * (1 + ROUNDING):
        return samples.clamp(-peak, peak), 0.0
    return (samples * (peak / found)).clamp(-peak, peak), 20 * math.log10(found / peak)


def encode(
    samples: Float[Tensor, "channels time"],
    sample_rate: int,
    suffix: str,
    subtype: Subtype,
    *,
    comment: str = "",
) -> bytes:
    """Return the bytes of an audio file, with a comment among its tags."""
    container, encoding = FORMATS[suffix]
    if subtype == "float":
        encoding = "FLOAT"
    elif subtype == "pcm16":
        encoding = "PCM_16"
    buffer = io.BytesIO()
    frames = samples.T.contiguous().numpy()
    with soundfile.SoundFile(
        buffer, "w", sample_rate, samples.shape[0], subtype=encoding, format=container
    ) as file:
        if comment:
            file.comment = comment
        for start in range(0, len(frames), BLOCK):
            file.write(frames[start : start + BLOCK])
    # The view is let go at once: a buffer that the collector meets with one is an error of its own.
    if subtype == "float":
        with buffer.getbuffer() as content:
            _forget_time(content)
    return buffer.getvalue()


def _forget_time(content: memoryview) -> None:
    """Clear the time of writing, so that the same samples give the same file.

    libsndfile notes it behind the version of the chunk with the peaks of float samples, which
    stands behind the comment.
    """
    place, name = RIFF_BYTES, b""
    while name != b"data":
        name, size = struct.unpack_from("<4sI", content, place)
        if name == b"PEAK":
            content[place + 12 : place + 16] = bytes(4)
        place += 8 + size + size % 2


def check_target(path: Path, subtype: Subtype) -> str:
    """Return the lower-case suffix of `path`, or say why nothing can be saved there."""
    suffix = path.suffix.lower()
    _check_name(path)
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: unknown audio suffix {path.suffix!r}; use one of {', '.join(FORMATS)}"
        )
    if subtype not in SUBTYPES:
        raise ValueError(f"{path}: unknown subtype {subtype!r}; use 'pcm16', 'pcm24' or 'float'")
    if subtype == "float" and suffix != ".wav":
        raise ValueError(
            f"{path}: {suffix} files cannot hold float samples; use .wav or subtype='pcm24'"
        )
    if subtype == "pcm16" and suffix in LOSSY:
        raise ValueError(
            f"{path}: {suffix} files hold no integers; use .wav or .flac, or leave the subtype out"
        )
    if not path.parent.is_dir():
        raise AudioSaveError(
            f"{path}: the folder {path.parent} does not exist; create it or choose another one"
        )
    if path.is_dir():
        raise AudioSaveError(f"{path}: is a folder; give the name of a file")
    return suffix


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
    with _refused_forms(path, sample_rate, len(samples)):
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


def check_form(path: Path, sample_rate: int, channels: int, *, subtype: Subtype) -> None:
    """Check that files of the suffix of `path` can hold sounds of this form.

    Raises:
        ValueError: They cannot.
    """
    with _refused_forms(path, sample_rate, channels):
        encode(torch.zeros(channels, 1), sample_rate, path.suffix.lower(), subtype)


@contextmanager
def _refused_forms(path: Path, sample_rate: int, channels: int) -> Iterator[None]:
    suffix = path.suffix.lower()
    refused = f"{path}: {suffix} cannot hold {channels} channels at {sample_rate} Hz"
    # Beyond them libsndfile does not refuse: it crashes.
    if suffix == ".ogg" and (sample_rate > VORBIS_RATE or channels > VORBIS_CHANNELS):
        most = f"at most {VORBIS_CHANNELS} channels and {VORBIS_RATE} Hz"
        raise ValueError(f"{refused} ({most}); use .wav")
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{refused} ({error.error_string}); use .wav") from error


def check_folder(output: Path) -> None:
    """Check that a folder can be written to, or made and written to.

    Raises:
        ValueError: Its name is that of nothing.
        AudioSaveError: It is a file, its parent is missing, or nothing can be written there.
    """
    _check_name(output)
    if output.is_dir():
        check_writable(output)
    elif output.exists():
        raise AudioSaveError(f"{output}: is a file; give a folder, existing or new")
    elif not output.parent.is_dir():
        raise AudioSaveError(
            f"{output}: the folder {output.parent} does not exist; create it or choose another one"
        )
    else:
        check_writable(output.parent)


def _check_name(path: Path) -> None:
    """Check that a path can be one, and leaves room for the name of the tags beside it.

    Raises:
        ValueError: It holds a NUL character.
        AudioSaveError: The name is too long.
    """
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: holds a NUL character, as no path does; choose another")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise AudioSaveError(
            f"{path}: its name has {len(os.fsencode(path.name))} bytes, and file systems take "
            f"{LONGEST_NAME} and a suffix; choose a shorter one"
        )


def make_folder(output: Path) -> None:
    """Make a folder where it does not exist.

    Raises:
        AudioSaveError: It cannot be made, or nothing can be written there.
    """
    check_folder(output)
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise AudioSaveError(
            f"{output}: cannot be made ({error.strerror}); choose another folder"
        ) from error


def check_writable(folder: Path) -> None:
    """Check that files can be made in a folder.

    Raises:
        AudioSaveError: They cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AudioSaveError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another folder"
        ) from error

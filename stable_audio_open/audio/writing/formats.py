"""Formats of audio files: what they hold, and how samples become their bytes."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

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
RIFF_BYTES = 12
"""Bytes of a WAV file before its first chunk."""
BLOCK = 65536
"""Frames given to the encoder at once (libsndfile's Vorbis encoder needs stack in proportion)."""


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


def check_form(path: Path, sample_rate: int, channels: int, *, subtype: Subtype) -> None:
    """Check that files of the suffix of `path` can hold sounds of this form.

    Raises:
        ValueError: They cannot.
    """
    with refused_forms(path, sample_rate, channels):
        encode(torch.zeros(channels, 1), sample_rate, path.suffix.lower(), subtype)


@contextmanager
def refused_forms(path: Path, sample_rate: int, channels: int) -> Iterator[None]:
    """Say what a file cannot hold where libsndfile refuses to encode it, or would crash.

    Raises:
        ValueError: Naming the file, the channels and the rate.
    """
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

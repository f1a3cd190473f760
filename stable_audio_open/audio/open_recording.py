"""A recording that is open: checked whole as far as its structure tells, and read by samples."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from stable_audio_open.audio.containers.chunks import LONGEST_BLOCK
from stable_audio_open.audio.containers.examine import examine
from stable_audio_open.audio.containers.flac import ForwardFile
from stable_audio_open.audio.containers.layout import Layout
from stable_audio_open.audio.resample import HIGHEST_RATE, LOWEST_RATE
from stable_audio_open.files.archives.tars import ArchiveError, open_bytes, size_and_time, tar_of
from stable_audio_open.files.joined_parts import spliced
from stable_audio_open.files.pipes_and_devices import SpecialFileError

CONTAINERS = ("AIFF", "AU", "CAF", "FLAC", "MP3", "OGG", "RF64", "W64", "WAV", "WAVEX")
"""Of what libsndfile opens: those whose structure says whether all is there."""
FORWARD_ONLY = ("DPCM", "DWVW", "G721", "G723", "GSM610", "NMS_ADPCM")
"""Encodings that libsndfile cannot seek in, by the start of their names."""
PREROLL = 32 * 1152
"""Samples of MP3 decoded before those that are wanted: a frame may begin in many before it."""
LONG = 1 << 22
"""Samples that memory is taken for at once, where a header alone says how many there are."""
SETTLED = 2_000_000_000
"""Nanoseconds after a change from when on a file of the same time is taken for the same."""


class AudioFileError(ValueError):
    """A file that cannot be used as audio; the message is one line and names it."""


class OpenRecording:
    """A recording as libsndfile reads it.

    Args:
        path: The file, for messages.
        file: The file, open.
        frames: Samples of a channel that are to be read.
    """

    def __init__(self, path: Path, file: soundfile.SoundFile, frames: int) -> None:
        self.path = path
        self.frames = frames
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self._file = file
        self._place = 0

    def read(self, first: int, last: int) -> Float[Tensor, "1 channels time"]:
        """Read the samples from `first` up to `last`; later calls may not go back everywhere.

        Raises:
            AudioFileError: The file is damaged, or ends before.
        """
        wanted = last - first
        try:
            if wanted > LONG and self._file.format == "FLAC":
                self._check_end(last)
            self._go_to(first)
            frames = self._read(wanted)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(
                f"{self.path}: the file is truncated or damaged ({error.error_string.rstrip('.')});"
                " download or export it again"
            ) from error
        self._place = first + len(frames)
        if len(frames) < wanted:
            raise self._too_short(self._place)
        return torch.from_numpy(frames).T.contiguous()[None]

    def _read(self, wanted: int) -> NDArray[np.float32]:
        if wanted <= LONG or self._file.format != "OGG":
            return self._file.read(wanted, dtype="float32", always_2d=True)  # type: ignore[no-any-return]
        blocks: list[NDArray[np.float32]] = []
        while wanted:
            blocks.append(self._file.read(min(LONG, wanted), dtype="float32", always_2d=True))
            wanted -= len(blocks[-1])
            if not len(blocks[-1]):
                break
        return np.concatenate(blocks)

    def _go_to(self, first: int) -> None:
        if self._place != first and not self._file.subtype.startswith(FORWARD_ONLY):
            preroll = PREROLL if self._file.format == "MP3" else 0
            self._place = max(0, first - preroll)
            self._file.seek(self._place)
        assert self._place <= first, "a file that is read forward alone"
        while self._place < first:
            count = len(self._file.read(min(LONG, first - self._place), dtype="float32"))
            if not count:
                raise self._too_short(self._place)
            self._place += count

    def _check_end(self, last: int) -> None:
        self._place = self._file.seek(last - 1)
        found = len(self._file.read(1))
        self._place += found
        if not found:
            raise AudioFileError(
                f"{self.path}: the file is truncated (it ends before the {self.frames} samples "
                "that its header says); download or export it again"
            )

    def _too_short(self, read: int) -> AudioFileError:
        return AudioFileError(
            f"{self.path}: the file is truncated: {read} of {self.frames} samples could be read; "
            "download or export it again"
        )


@contextmanager
def open_recording(path: Path) -> Iterator[OpenRecording]:
    """Open a recording that is not visibly cut off.

    Raises:
        AudioFileError: The file is missing, no file, empty, truncated, or no audio that is read.
    """
    with _open(path) as raw:
        found = _layout_of(path, raw)
        if found.fault:
            raise AudioFileError(f"{path}: {found.fault}")
        raw.seek(0)
        given = spliced(raw, found.parts) if found.parts else raw
        # libsndfile opens what it can by itself, which spares it calls into Python.
        source: Path | int | BufferedReader = (
            path if given is raw and tar_of(path) is None else given
        )
        if source is path and not _is_plain_name(path):
            os.lseek(raw.fileno(), 0, os.SEEK_SET)  # the buffer alone went there
            source = raw.fileno()
        try:
            file = ForwardFile(source, closefd=False)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(
                f"{path}: not a readable audio file ({error.error_string.rstrip('.')}); use WAV, "
                "FLAC, Ogg, MP3 or AIFF"
            ) from error
        with file:
            yield OpenRecording(path, file, _frames(path, file, found))


def _is_plain_name(path: Path) -> bool:
    """Say whether soundfile takes a name as it is.

    One in .raw stands for samples without a header there, and all are UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return path.suffix.lower() != ".raw"


def _frames(path: Path, file: soundfile.SoundFile, found: Layout) -> int:
    """Return how many samples are there, after a look at what the header says."""
    if file.format not in CONTAINERS:
        raise AudioFileError(
            f"{path}: is {file.format_info}, where nothing tells a file that was cut from a whole "
            "one; convert it to WAV, FLAC, Ogg, MP3 or AIFF"
        )
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise AudioFileError(
            f"{path}: its sample rate is {file.samplerate} Hz; allowed: {LOWEST_RATE} to "
            f"{HIGHEST_RATE}; correct its header or leave it out"
        )
    frames: int = file.frames
    if found.frames is not None:
        if file.format == "MP3" and frames < found.frames - LONGEST_BLOCK:
            raise AudioFileError(
                f"{path}: {found.frames} samples are there and {frames} could be read (MPEG of "
                "layer I or II with a variable bit rate); convert it to WAV or FLAC"
            )
        if frames < found.frames + LONGEST_BLOCK or file.format == "MP3":
            frames = min(frames, found.frames)
    if frames <= 0:
        raise AudioFileError(f"{path}: holds no audio (0 samples); leave it out")
    return frames


def _open(path: Path) -> BufferedReader:
    """Open the bytes of a file."""
    try:
        return open_bytes(path)
    except (ArchiveError, SpecialFileError) as error:
        raise AudioFileError(str(error)) from error
    except FileNotFoundError as error:
        raise AudioFileError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise AudioFileError(
            f"{path}: cannot be opened ({error.strerror}); check the path and its permissions"
        ) from error


def _layout_of(path: Path, raw: BufferedReader) -> Layout:
    """Return what a file's structure says; that of a file that stays is looked at once."""
    if not raw.read(1):
        raise AudioFileError(f"{path}: the file is empty (0 bytes); download or export it again")
    try:
        size, changed = size_and_time(path)
        if time.time_ns() - changed < SETTLED:
            return examine(raw)
        return _settled_layout(path.absolute(), size, changed)
    except OSError as error:
        raise AudioFileError(
            f"{path}: cannot be read ({error.strerror}); check the disk"
        ) from error


@lru_cache(maxsize=1 << 14)
def _settled_layout(path: Path, size: int, changed: int) -> Layout:
    del size, changed  # which tell states of the file apart
    with open_bytes(path) as raw:
        return examine(raw)

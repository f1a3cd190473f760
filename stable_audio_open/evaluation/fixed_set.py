"""A small set of recordings that every evaluation of a training is about."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio.writing.saving import save_audio
from stable_audio_open.files.hashes import file_hash


class FixedRecording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, its caption, and the other numbers that a model is conditioned on."""

    path: Path
    caption: str
    numbers: dict[str, float] = {}

    @property
    def id(self) -> str:
        """Name without suffix, by which recordings and generations are matched."""
        return self.path.stem


def check_fixed_set(recordings: Sequence[FixedRecording], *, source: str) -> None:
    """Check that the recordings have names of their own, and that each can be read.

    Args:
        recordings: At least one.
        source: Where they are listed, for the error.

    Raises:
        AudioFileError: One cannot be read.
        ValueError: Two have the same name, or are the same.
    """
    seen: dict[str, Path] = {}
    for recording in recordings:
        audio_info(recording.path)
        other = seen.setdefault(recording.id, recording.path)
        if other is recording.path:
            continue
        if other == recording.path:
            raise ValueError(f"{source}: lists {other} twice; leave one line out")
        raise ValueError(
            f"{source}: {other} and {recording.path} have the same name without suffix; rename "
            "one, or leave it out"
        )


@dataclass(frozen=True, kw_only=True)
class FixedSet:
    """Recordings, and how a model could have made them.

    Args:
        recordings: As `check_fixed_set` wants them.
        folder: Where they are written, `ID.wav` for each.
        seconds: At most so much of each.
        sample_rate: In hertz.
        channels: 1 or 2.
    """

    recordings: Sequence[FixedRecording]
    folder: Path
    seconds: float
    sample_rate: int
    channels: int

    def file(self, recording: FixedRecording) -> Path:
        """Return where a recording is written."""
        return self.folder / f"{recording.id}.wav"

    def read(self, recording: FixedRecording) -> Float[Tensor, "channels time"]:
        """Return a recording at the model's rate and channels.

        Raises:
            AudioFileError: It cannot be read.
        """
        audio = read_audio(
            recording.path,
            sample_rate=self.sample_rate,
            channels=self.channels,
            duration=self.seconds,
        )
        return audio.trim(self.seconds).samples[0]

    def check(self) -> None:
        """Check that there is something to judge by, before anything is written.

        Raises:
            AudioFileError: A recording cannot be read.
            ValueError: All of them are silent: they measure nothing.
        """
        silent = [is_silent(self.read(recording)) for recording in self.recordings]
        if all(silent):
            first = self.recordings[0].path
            raise ValueError(f"{first}: is silent, as all of the fixed set; give sound to judge by")

    def write(self) -> None:
        """Empty the folder, and write the recordings.

        Raises:
            AudioFileError: A recording cannot be read.
            AudioSaveError: The folder cannot be written.
        """
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        for recording in self.recordings:
            samples = self.read(recording)
            save_audio(
                self.file(recording), samples, self.sample_rate, subtype="float", keep_level=True
            )


def fixed_set_hash(recordings: Sequence[FixedRecording]) -> str:
    """Return a name of the recordings' bytes, captions and numbers, in their order."""
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(
            f"{recording.id}\n{recording.caption}\n{file_hash(recording.path)}\n".encode()
        )
        if recording.numbers:
            digest.update(msgspec.json.encode(recording.numbers, order="sorted"))
    return digest.hexdigest()

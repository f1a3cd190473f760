"""Random crops of recordings, for the autoencoder."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from stable_audio_open.audio.files import AudioFileError, audio_info, read_audio
from stable_audio_open.audio.level.loudness import at_loudness
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio.resample import resampled_length
from stable_audio_open.data.faults import Fault, Faults
from stable_audio_open.data.manifest import Recording, listed_frames

DRAWS = 4
"""A crop that is all silence is drawn again, three times at most."""


class Crop(TypedDict):
    """One training example of the autoencoder."""

    audio: Float[Tensor, "channels time"]
    file: str


class CropDataset(Dataset[Crop | Fault]):
    """Crops of `crop_samples` samples; item i of an epoch depends on (seed, epoch, i) alone.

    A recording gives up to `crops_per_recording` crops an epoch (section 3.1), fewer when it is
    shorter than that many crops; one shorter than a crop is followed by silence. Only the crop is
    read from the file. An item that cannot be read is a `Fault`; recordings whose header cannot be
    read have no items and are given to `faults`, or raise AudioFileError where that is None.
    Headers are read where the manifest does not give `seconds` and `sample_rate`.

    Args:
        recordings: Lines of the manifest.
        folder: Folder of the recordings.
        sample_rate: Samples per second of the crops.
        channels: Channels of the crops.
        crop_samples: Their length.
        crops_per_recording: At most so many crops of a recording in an epoch.
        polarity_flip: Share of the crops that are turned upside down (-x for x).
        loudness: LUFS that crops are brought to, but never above full scale; those that are silent,
            and all where None, stay as they are.
        seed: Seed of the crops.
        faults: Takes the recordings whose header cannot be read.
    """

    def __init__(
        self,
        *,
        recordings: Sequence[Recording],
        folder: str | Path,
        sample_rate: int,
        channels: int,
        crop_samples: int,
        crops_per_recording: int = 3,
        polarity_flip: float = 0.0,
        loudness: float | None = None,
        seed: int = 0,
        faults: Faults | None = None,
    ) -> None:
        if not recordings:
            raise ValueError("there are no recordings to crop; give a manifest with at least one")
        for name, value in (
            ("sample_rate", sample_rate),
            ("crop_samples", crop_samples),
            ("crops_per_recording", crops_per_recording),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.folder = Path(folder)
        self.files = [recording.file for recording in recordings]
        self.sample_rate = sample_rate
        self.channels = channels
        self.crop_samples = crop_samples
        self.polarity_flip = polarity_flip
        self.loudness = loudness
        self.seed = seed
        self.epoch = 0
        self.lengths: list[int] = []
        """Samples of each recording at `sample_rate`."""
        self.owners: list[int] = []
        """The recording that each item is a crop of."""
        for index, recording in enumerate(recordings):
            try:
                frames, rate = listed_frames(recording) or self._frames(recording.file)
            except AudioFileError as error:
                if faults is None:
                    raise
                faults.add(recording.file, str(error))
                self.lengths.append(0)
                continue
            length = resampled_length(frames, rate, sample_rate)
            self.lengths.append(length)
            crops = min(crops_per_recording, math.ceil(length / crop_samples))
            self.owners += [index] * crops

    def _frames(self, file: str) -> tuple[int, int]:
        info = audio_info(self.folder / file)
        return info.frames, info.sample_rate

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before the workers start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> Crop | Fault:
        owner = self.owners[index]
        rng = random.Random(f"{self.seed}/{self.epoch}/{index}")
        room = self.lengths[owner] - self.crop_samples
        for _ in range(DRAWS if room > 0 else 1):
            try:
                audio = self._read(owner, rng.randint(0, room) if room > 0 else 0)
            except (ValueError, OSError) as error:  # as of a file that has become another one
                return Fault(self.files[owner], str(error))
            if not is_silent(audio):
                break
        if self.loudness is not None:
            audio, _ = at_loudness(audio, self.sample_rate, self.loudness)
        if rng.random() < self.polarity_flip:
            audio = -audio
        return {"audio": audio, "file": self.files[owner]}

    def _read(self, owner: int, start: int) -> Float[Tensor, "channels time"]:
        samples = read_audio(
            self.folder / self.files[owner],
            sample_rate=self.sample_rate,
            channels=self.channels,
            start=start / self.sample_rate,
            duration=self.crop_samples / self.sample_rate,
        ).samples[0]
        return functional.pad(samples, (0, self.crop_samples - samples.shape[-1]))

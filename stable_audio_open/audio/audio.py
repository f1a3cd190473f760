"""A batch of audio and its sample rate."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import (
    check_flag,
    check_integer,
    check_name,
    check_number,
    check_path,
    type_name,
    wrong_type,
)
from stable_audio_open.audio.finishing import Finishing, finish_items
from stable_audio_open.audio.level.silence import SILENCE, sound_end
from stable_audio_open.audio.parts import chosen_items, cut, first_seconds
from stable_audio_open.audio.samples import check_samples, silent_behind
from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.audio.writing.items import save_items
from stable_audio_open.audio.writing.tags import Tags


@dataclass(frozen=True, eq=False)
class Audio:
    """Float32 samples on the CPU, nominally within -1..1, and what is known about them.

    Args:
        samples: One sound per item.
        sample_rate: Samples per second.
        seeds: The seed behind each item; none where nothing was drawn.
        lengths: Samples of each item that are its sound; all of them by default. What is behind is
            made silent, in a copy, is not saved, and goes when the item is taken out.
        fade: Seconds of fade-out that saving gives the end, where the sound was cut off.
        loop: The end goes on at the start: such a sound is never faded, whatever `fade` says.
        tags: How each item was made, which saving writes into its file; none where that is not
            known.

    Raises:
        TypeError: Samples that are no tensor, a rate, seeds or lengths that are no integers, or a
            fade that is no number.
        ValueError: Samples not of shape [batch, channels, time] or not float32, a rate that is not
            positive, a length outside 0 to time, or seeds, lengths or tags for another number of
            items.
    """

    samples: Float[Tensor, "batch channels time"]
    sample_rate: int
    seeds: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    fade: float = 0.0
    loop: bool = False
    tags: tuple[Tags, ...] = ()

    def __post_init__(self) -> None:
        check_samples(self.samples)
        # NumPy's numbers become Python's.
        rate = check_integer(self.sample_rate, "sample_rate")
        object.__setattr__(self, "sample_rate", rate)
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, got {self.sample_rate}")
        for name in ("seeds", "lengths", "tags"):
            values = getattr(self, name)
            if not isinstance(values, tuple):
                raise TypeError(f"{name} must be a tuple, got {type_name(values)}")
            if len(values) not in (0, len(self.samples)):
                raise ValueError(
                    f"got {len(values)} {name} for {len(self.samples)} items; give one per item or "
                    "none"
                )
        for name in ("seeds", "lengths"):
            values = tuple(check_integer(value, name) for value in getattr(self, name))
            object.__setattr__(self, name, values)
        for tags in self.tags:
            if not isinstance(tags, Mapping):
                raise wrong_type(tags, "tags", "a tuple of mappings")
        time = self.samples.shape[-1]
        for length in self.lengths:
            if not 0 <= length <= time:
                raise ValueError(f"lengths must be 0 to {time} samples, got {length}")
        check_flag(self.loop, "loop")
        object.__setattr__(self, "fade", check_number(self.fade, "fade"))
        if not 0 <= self.fade < math.inf:
            raise ValueError(f"fade must be at least 0 seconds, got {self.fade}")
        object.__setattr__(self, "lengths", self.lengths or (time,) * len(self.samples))
        object.__setattr__(self, "samples", silent_behind(self.samples, self.lengths))
        if self.loop:
            object.__setattr__(self, "fade", 0.0)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        sample_rate: int | None = None,
        channels: int | None = None,
        start: float = 0.0,
        duration: float | None = None,
    ) -> "Audio":
        """Read a recording, or a part of it, as a batch of one.

        Args:
            path: A WAV, FLAC, Ogg, MP3, AIFF, W64, RF64, AU or CAF file.
            sample_rate: Wanted rate in hertz; the file's own when None.
            channels: Wanted channels (mono is copied, stereo averaged); the file's own when None.
            start: Seconds to skip.
            duration: At most so many seconds; to the end when None.

        Raises:
            AudioFileError: The file is missing, unreadable, empty, truncated or holds NaN.
            ValueError: `start` or `duration` is out of range, or the channels cannot be converted.
        """
        # Which reads into this class.
        from stable_audio_open.audio.files import read_audio

        check_path(path, "path")
        for name, count in (("sample_rate", sample_rate), ("channels", channels)):
            if count is not None:
                check_integer(count, name)
        start = check_number(start, "start")
        if duration is not None:
            duration = check_number(duration, "duration")
        return read_audio(
            path, sample_rate=sample_rate, channels=channels, start=start, duration=duration
        )

    @property
    def duration(self) -> float:
        """Seconds of the longest item."""
        return max(self.lengths, default=0) / self.sample_rate

    @property
    def durations(self) -> list[float]:
        """Seconds of each item."""
        return [length / self.sample_rate for length in self.lengths]

    @property
    def channels(self) -> int:
        """Channels of each item."""
        return self.samples.shape[1]

    @property
    def seed(self) -> int | None:
        """The first item's seed; None when nothing was drawn."""
        return self.seeds[0] if self.seeds else None

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the samples `[batch, channels, time]` as a NumPy array of its own.

        What is behind the end of an item is silence. For libraries that want `[time, channels]`:
        `audio[0].numpy()[0].T`.
        """
        return self.samples.detach().cpu().clone().numpy()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: int | slice) -> "Audio":
        """Return an item as a batch of one that ends with it, or a batch of several items."""
        return chosen_items(self, item)

    def __iter__(self) -> Iterator["Audio"]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        lengths = sorted(set(self.durations)) or [0.0]
        shortest = f"{lengths[0]:.3f} to " if len(lengths) > 1 else ""
        return (
            f"Audio({len(self)} x {self.channels} channels x {shortest}{self.duration:.3f} s at "
            f"{self.sample_rate} Hz, seeds={self.seeds})"
        )

    def _repr_html_(self) -> str:
        """Return a player and a spectrogram of each item, for notebooks."""
        from stable_audio_open.audio.shown.player import player_html

        return player_html(self)

    def trim(self, seconds: float) -> "Audio":
        """The beginning of each item; audio that is shorter already stays as it is.

        Args:
            seconds: How much is left of it.

        Raises:
            ValueError: That is less than a sample.
        """
        return first_seconds(self, seconds)

    def cut(self, start: float, end: float | None = None) -> "Audio":
        """A part of each item.

        Args:
            start: Seconds at which it begins.
            end: Seconds at which it ends; the end of each item when None.

        Raises:
            ValueError: The part is empty, begins behind the end of an item, or ends behind that of
                the longest.
        """
        return cut(self, start, end)

    def sound_end(self, threshold_db: float = SILENCE) -> list[float]:
        """Seconds, per item, where the sound really ends; 0.0 for silence.

        Args:
            threshold_db: Level in dB of full scale that counts as silence.
        """
        threshold_db = check_number(threshold_db, "threshold_db")
        return [
            sound_end(sound[None, :, :length], self.sample_rate, threshold_db)[0]
            for sound, length in zip(self.samples, self.lengths, strict=True)
        ]

    def finish(
        self,
        *,
        trim_silence: bool = False,
        sample_rate: int | None = None,
        channels: int | None = None,
        fade: float | None = None,
        loudness: float | None = None,
        peak: float | None = None,
    ) -> "Audio":
        """Bring the sound into the form in which it is handed on, in the order of the arguments.

        Args:
            trim_silence: Take away what is below -60 dB of full scale before and after each sound.
            sample_rate: Wanted rate in hertz.
            channels: 1 or 2.
            fade: Seconds of fade-out at the end; by default what the sound asks for (5 ms where
                `generate` cut it off, none in loops). 0 is none.
            loudness: Integrated loudness in LUFS (ITU-R BS.1770-4), such as -16. A sound whose true
                peak would exceed -1 dB is less loud, which is warned of; silence stays as it is.
            peak: Decibels of full scale that the highest sample reaches, such as -1.

        Raises:
            ValueError: A value is out of range, both levels are given, or a loop is to be faded or
                to lose its silence.
        """
        settings = Finishing(
            trim_silence=trim_silence,
            sample_rate=sample_rate,
            channels=channels,
            fade=self.fade if fade is None else fade,
            loudness=loudness,
            peak=peak,
        )
        return finish_items(self, settings)

    def save(
        self,
        path: str | Path,
        *,
        subtype: Subtype = "pcm24",
        item: int | None = None,
        tags: bool = True,
    ) -> list[Path]:
        """Save to a .wav, .flac, .ogg or .mp3 file, or into a folder, one WAV per item.

        A folder exists, or its name ends with a slash: then it is made. Files in it are named by
        item and seed, `0_1234.wav`, or `0_1234_2.wav` where that name is taken. Each item is as
        long as `lengths` says, and ends with its `fade`. An item louder than full scale is turned
        down as a whole, with a warning; nothing is ever clipped or left half-written.

        Args:
            path: The file, which is replaced where it exists, or a folder.
            subtype: Integers of 16 or 24 bits, or float samples (WAV only).
            item: The one item of the batch to save; all by default.
            tags: Write how an item was made into its file, as ASCII JSON, or into `FILE.json` where
                that takes more than 1,900 bytes.

        Returns:
            The files written.

        Raises:
            ValueError: unknown suffix or subtype, several items for one file, NaN samples.
            AudioSaveError: missing or unwritable folder, full disk; an earlier file stays.
        """
        check_path(path, "path")
        check_name(subtype, "subtype")
        if item is not None:
            item = check_integer(item, "item")
        check_flag(tags, "tags")
        return save_items(self, path, subtype=subtype, item=item, tags=tags)

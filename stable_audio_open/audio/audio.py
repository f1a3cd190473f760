"""A batch of audio and its sample rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.saving import FORMATS, Subtype, check_target, save_audio
from stable_audio_open.audio.silence import sound_end


@dataclass(frozen=True, eq=False)
class Audio:
    """Float32 samples on the CPU, nominally within -1..1, their rate, and the seeds behind them.

    Raises:
        ValueError: samples not of shape [batch, channels, time] or not float32, a rate that is not
            positive, or a number of seeds other than none or one per item.
    """

    samples: Float[Tensor, "batch channels time"]
    sample_rate: int
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.samples.ndim != 3 or self.samples.dtype != torch.float32:
            raise ValueError(
                "samples must be float32 of shape [batch, channels, time], got "
                f"{self.samples.dtype} of shape {list(self.samples.shape)}"
            )
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, got {self.sample_rate}")
        if len(self.seeds) not in (0, len(self.samples)):
            raise ValueError(
                f"got {len(self.seeds)} seeds for {len(self.samples)} items; give one per item or "
                "none"
            )

    @property
    def duration(self) -> float:
        """Seconds of each item."""
        return self.samples.shape[-1] / self.sample_rate

    @property
    def channels(self) -> int:
        """Channels of each item."""
        return self.samples.shape[1]

    @property
    def seed(self) -> int | None:
        """The first item's seed; None when nothing was drawn."""
        return self.seeds[0] if self.seeds else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: int) -> "Audio":
        index = range(len(self))[item]
        return Audio(
            self.samples[index : index + 1], self.sample_rate, self.seeds[index : index + 1]
        )

    def __iter__(self) -> Iterator["Audio"]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"Audio({len(self)} x {self.channels} channels x {self.duration:.3f} s at "
            f"{self.sample_rate} Hz, seeds={self.seeds})"
        )

    def trim(self, seconds: float) -> "Audio":
        """The first `seconds`; audio that is shorter already stays as it is."""
        if not seconds > 0:
            raise ValueError(f"cannot trim to {seconds} s; give a positive number of seconds")
        length = min(round(seconds * self.sample_rate), self.samples.shape[-1])
        return Audio(self.samples[..., :length], self.sample_rate, self.seeds)

    def sound_end(self, threshold_db: float = -60.0) -> list[float]:
        """Seconds, per item, where the sound really ends; 0.0 for silence."""
        return sound_end(self.samples, self.sample_rate, threshold_db)

    def save(
        self, path: str | Path, *, subtype: Subtype = "pcm24", item: int | None = None
    ) -> list[Path]:
        """Save to a .wav, .flac, .ogg or .mp3 file; into an existing folder, one WAV per item.

        Files in a folder are named by item and seed: `0_1234.wav`. An item louder than full scale
        is turned down as a whole, with a warning; nothing is ever clipped or left half-written.

        Args:
            path: the file, or an existing folder.
            subtype: 24-bit integers, or float samples (WAV only).
            item: the one item of the batch to save; all by default.

        Returns:
            The files written.

        Raises:
            ValueError: unknown suffix or subtype, several items for one file, NaN samples.
            AudioSaveError: missing or unwritable folder, full disk; an earlier file stays.
        """
        path = Path(path)
        if item is not None and item not in range(-len(self), len(self)):
            raise ValueError(f"there is no item {item} in a batch of {len(self)}")
        chosen = list(range(len(self))) if item is None else [range(len(self))[item]]
        if path.is_dir() and path.suffix.lower() not in FORMATS:
            targets = [path / f"{self._stem(index)}.wav" for index in chosen]
        elif len(chosen) == 1:
            targets = [path]
        else:
            check_target(path, subtype)
            raise ValueError(
                f"{path}: {len(self)} items do not fit into one file; pass item=, loop over the "
                "audio, or give an existing folder"
            )
        return [
            save_audio(target, self.samples[index], self.sample_rate, subtype=subtype)
            for target, index in zip(targets, chosen, strict=True)
        ]

    def _stem(self, index: int) -> str:
        return f"{index}_{self.seeds[index]}" if self.seeds else str(index)

"""Latents of whole recordings, read in windows for the diffusion model."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict, runtime_checkable

import msgspec
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset

from stable_audio_open.conditions import SECONDS
from stable_audio_open.data.caption_or_metadata import draw_caption_or_metadata
from stable_audio_open.data.faults import Fault
from stable_audio_open.data.manifest import Recording, check_numbers, numbers_of
from stable_audio_open.prompts import PromptSettings


@runtime_checkable
class StoredLatents(Protocol):
    """The latents of a whole recording, in a file that is opened when they are read."""

    @property
    def path(self) -> Path:
        """The file, for messages."""

    @property
    def frames(self) -> int:
        """How many latents there are."""

    @property
    def seconds(self) -> float:
        """Length of the recording, without the silence after it."""

    def read(self, start: int, length: int) -> Float[Tensor, "2 latent_channels length"]:
        """Read means and standard deviations of `length` latents from `start` on."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Standard deviations of all latents of a set; sampling assumes about 1."""

    means: float
    """Of the posterior's means."""
    draws: float
    """Of draws from the posterior."""


class Moments(msgspec.Struct, frozen=True):
    """Sums over latents, which add up over recordings."""

    numbers: int = 0
    """How many numbers there are, channels counted."""
    total: float = 0.0
    """The sum of their means."""
    squares: float = 0.0
    """The sum of the squares of their means."""
    variances: float = 0.0
    """The sum of their variances."""

    @staticmethod
    def of(posterior: Float[Tensor, "2 latent_channels frames"]) -> "Moments":
        """Return those of a recording, summed in float64."""
        mean, std = posterior.double()
        squares, variances = mean.square().sum(), std.square().sum()
        return Moments(mean.numel(), float(mean.sum()), float(squares), float(variances))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.numbers + other.numbers,
            self.total + other.total,
            self.squares + other.squares,
            self.variances + other.variances,
        )

    @property
    def spread(self) -> Spread:
        """Standard deviations of all numbers."""
        variance = max(0.0, self.squares / self.numbers - (self.total / self.numbers) ** 2)
        return Spread(
            means=math.sqrt(variance), draws=math.sqrt(variance + self.variances / self.numbers)
        )


def spread_of(stored: Sequence[StoredLatents]) -> Spread:
    """Return the standard deviations of all latents."""
    moments = Moments()
    for one in stored:
        moments += Moments.of(one.read(0, one.frames))
    return moments.spread


class EncodedSet(NamedTuple):
    """Recordings and their latents, in the same order."""

    recordings: Sequence[Recording]
    latents: Sequence[StoredLatents | None]
    """None for a recording that could not be read."""
    spread: Spread
    """Standard deviations of all latents."""


KEYS = ("latents", "std", "prompt", "seconds_start", "seconds_total", "file", "faults")
"""What a batch holds, besides the numbers that a model is conditioned on."""


class LatentWindow(TypedDict):
    """One training example of the diffusion model, and its other numbers by their names."""

    latents: Float[Tensor, "latent_channels window"]
    """Means of the posterior."""
    std: Float[Tensor, "latent_channels window"]
    """Its standard deviations; `latents + std * noise` is a draw."""
    prompt: str
    seconds_start: float
    seconds_total: float
    file: str


class LatentDataset(Dataset[LatentWindow | Fault]):
    """Windows of stored latents with a prompt; item i of an epoch depends on (seed, epoch, i).

    An item whose latents cannot be read is a `Fault`.

    Where a recording is longer than the window, a random one is cut out, and there are up to
    `crops_per_recording` items of it. `seconds_start` is the offset rounded down, `seconds_total`
    the length of the whole recording rounded up.

    Args:
        recordings: lines of the manifest.
        latents: theirs, in the same order; None has no items.
        window: latents per item.
        downsampling: samples per latent.
        sample_rate: samples per second.
        crops_per_recording: at most so many items of a long recording in an epoch.
        trailing_silence: up to so many seconds of the silence behind a recording that is shorter
            than the window count as part of it: a set of very short ones then teaches every length.
        caption_share: share of the prompts that are whole captions.
        metadata: how the others are drawn, see `draw_caption_or_metadata`.
        whole_seconds: start windows at whole seconds, all that `seconds_start` can tell apart.
        numbers: names of the numbers that the model is conditioned on: but for the seconds, fields
            of the manifest.
        seed: of the windows and prompts.
    """

    def __init__(
        self,
        *,
        recordings: Sequence[Recording],
        latents: Sequence[StoredLatents | None],
        window: int,
        downsampling: int,
        sample_rate: int,
        crops_per_recording: int = 3,
        trailing_silence: float = 0.0,
        caption_share: float = 0.5,
        metadata: PromptSettings | None = None,
        whole_seconds: bool = False,
        numbers: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if len(recordings) != len(latents) or not latents:
            raise ValueError(
                f"got {len(recordings)} recordings and the latents of {len(latents)}; there must "
                "be those of each and of at least one: encode the recordings again"
            )
        if window < 1 or crops_per_recording < 1:
            raise ValueError(
                "window and crops_per_recording must be at least 1, got "
                f"{window} and {crops_per_recording}"
            )
        if not 0 <= trailing_silence < math.inf:
            raise ValueError(f"trailing_silence must be at least 0, got {trailing_silence}")
        numbers = [name for name in numbers if name not in SECONDS]
        for name in numbers:
            if name in KEYS:
                raise ValueError(
                    f'no number of a manifest can be called "{name}", which batches hold already'
                )
        check_numbers(recordings, numbers)
        pairs = [(own, made) for own, made in zip(recordings, latents, strict=True) if made]
        self.recordings = [own for own, _ in pairs]
        self.latents = [made for _, made in pairs]
        self.window = window
        self.downsampling = downsampling
        self.sample_rate = sample_rate
        self.trailing_silence = trailing_silence
        self.caption_share = caption_share
        self.metadata = metadata
        self.whole_seconds = whole_seconds
        self.numbers = tuple(numbers)
        self.seed = seed
        self.epoch = 0
        self.owners: list[int] = []
        """The recording that each item is a window of."""
        for index, made in enumerate(self.latents):
            if made.frames < window:
                raise ValueError(
                    f"{made.path}: holds {made.frames} latents of {self.recordings[index].file}, "
                    f"fewer than the window of {window}; encode again with this window"
                )
            self.owners += [index] * min(crops_per_recording, math.ceil(made.frames / window))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before the workers start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> LatentWindow | Fault:
        owner = self.owners[index]
        recording, stored = self.recordings[owner], self.latents[owner]
        rng = random.Random(f"{self.seed}/{self.epoch}/{index}")
        offset = self._offset(stored.frames - self.window, rng)
        try:
            mean, std = stored.read(offset, self.window)
        except (OSError, SafetensorError, ValueError) as error:
            return Fault(recording.file, f"{stored.path}: latents cannot be read ({error})")
        window: LatentWindow = {
            "latents": mean,
            "std": std,
            "prompt": draw_caption_or_metadata(
                recording, rng, caption_share=self.caption_share, metadata=self.metadata
            ),
            "seconds_start": float(offset * self.downsampling // self.sample_rate),
            "seconds_total": float(math.ceil(stored.seconds + self._silence(stored.seconds, rng))),
            "file": recording.file,
        }
        window.update(numbers_of(recording, self.numbers))  # type: ignore[typeddict-item]
        return window

    def _offset(self, room: int, rng: random.Random) -> int:
        """Draw where a window starts, in latents."""
        if not self.whole_seconds:
            return rng.randint(0, room)
        per_second = self.sample_rate / self.downsampling
        return math.ceil(rng.randint(0, math.floor(room / per_second)) * per_second)

    def _silence(self, seconds: float, rng: random.Random) -> float:
        """Seconds of the silence behind a short recording that count as part of it."""
        window = self.window * self.downsampling / self.sample_rate
        return rng.uniform(0, max(0.0, min(self.trailing_silence, window - seconds)))

"""The last steps before a sound becomes a file: pure functions, and their settings."""

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from msgspec import Struct
from msgspec.structs import asdict, force_setattr
from torch import Tensor

from stable_audio_open.arguments.checks import check_flag, check_integer, check_number
from stable_audio_open.audio.channels import to_channels
from stable_audio_open.audio.level.loudness import at_loudness
from stable_audio_open.audio.level.peaks import amplitude, at_peak, true_peak
from stable_audio_open.audio.level.silence import without_silence
from stable_audio_open.audio.resample import HIGHEST_RATE, LOWEST_RATE, resample
from stable_audio_open.audio.writing.tags import Tags

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio

logger = logging.getLogger(__name__)

FADE = 0.005
"""Seconds of the fade where a sound was cut: long enough that no click is heard, too short to
soften what sounds there."""
CEILING = -1.0
"""Decibels of full scale that the true peak reaches at most where loudness is set (EBU R 128)."""
QUIETEST = -70.0
"""LUFS below which BS.1770 measures nothing."""
FINISHED = "finishing"
"""The name, in the tags of a sound, of all steps that it has gone through."""


class Finishing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to a sound before it is saved, in the order of the fields.

    Raises:
        TypeError: A value is of another type.
        ValueError: A value is out of its range, or both levels are given.
    """

    trim_silence: bool = False
    """Take away what is below -60 dB of full scale before and after the sound; a sound that is
    nothing else stays as it is."""
    sample_rate: int | None = None
    """Samples per second; the sound's own where None."""
    channels: int | None = None
    """1 or 2; the sound's own where None."""
    fade: float | None = None
    """Seconds of a fade-out at the end; where None, as long as the sound itself asks for."""
    loudness: float | None = None
    """Integrated loudness in LUFS, such as -16; less where the true peak would exceed -1 dB."""
    peak: float | None = None
    """Decibels of full scale that the highest sample reaches, such as -1."""

    def __post_init__(self) -> None:
        check_flag(self.trim_silence, "trim_silence")
        for check, names in (
            (check_integer, ("sample_rate", "channels")),
            (check_number, ("fade", "loudness", "peak")),
        ):
            for name in names:
                if getattr(self, name) is not None:  # NumPy's numbers become Python's, for tags
                    force_setattr(self, name, check(getattr(self, name), name))
        if self.sample_rate is not None and not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise ValueError(
                f"sample_rate must be {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {self.sample_rate}; "
                "48000 is usual"
            )
        if self.channels not in (None, 1, 2):
            raise ValueError(f"channels must be 1 or 2, got {self.channels}")
        if self.fade is not None and not 0 <= self.fade < math.inf:
            raise ValueError(f"fade must be at least 0 seconds, got {self.fade}")
        if self.loudness is not None and not QUIETEST < self.loudness <= 0:
            raise ValueError(
                f"loudness must be above {QUIETEST:g} and at most 0 LUFS, got {self.loudness}; "
                "-16 is usual"
            )
        if self.peak is not None and not -200 <= self.peak <= 0:
            raise ValueError(
                f"peak must be -200 to 0 decibels of full scale, got {self.peak}; -1 is usual"
            )
        if self.loudness is not None and self.peak is not None:
            raise ValueError(
                f"loudness {self.loudness:g} and peak {self.peak:g} are two levels for one sound; "
                "give one of them"
            )


def check_loop_finishing(settings: Finishing) -> None:
    """Check that a loop keeps its end, which goes on at its start.

    Raises:
        ValueError: It is to be faded or to lose its silence.
    """
    if settings.trim_silence or settings.fade:
        raise ValueError("a loop has no end: leave out fade and trim_silence")


def with_finishing(tags: Tags, settings: Finishing) -> Tags:
    """Return the tags of a sound that has gone through these steps, after those before it."""
    default = Finishing()
    done = {
        name: value
        for name, value in asdict(settings).items()
        if value != getattr(default, name) and not (name == "fade" and not value)
    }
    if not done:
        return tags
    before = tags.get(FINISHED, ())
    assert isinstance(before, list | tuple)
    return {**tags, FINISHED: [*before, done]}


def finish(
    samples: Float[Tensor, "channels time"], sample_rate: int, settings: Finishing
) -> tuple[Float[Tensor, "new_channels new_time"], str]:
    """Return the sound after all steps, at `settings.sample_rate`, and a word on what fell short.

    Args:
        samples: One sound.
        sample_rate: Its rate in hertz.
        settings: What is done; its `fade` counts as 0 where it is None.

    Raises:
        ValueError: The channels cannot be converted, or are too many for a loudness.
    """
    rate = settings.sample_rate or sample_rate
    if settings.trim_silence:
        samples = without_silence(samples)
    samples = resample(samples, sample_rate, rate)
    if settings.channels is not None:
        samples = to_channels(samples[None], settings.channels)[0]
    if settings.fade:
        samples = fade_out(samples, rate, settings.fade)
    if settings.loudness is not None:
        return _with_loudness(samples, rate, settings.loudness)
    if settings.peak is not None:
        return at_peak(samples, amplitude(settings.peak)), ""
    return samples, ""


def finish_items(audio: "Audio", settings: Finishing) -> "Audio":
    """Return a batch after all steps, which its tags tell; each item is finished by itself.

    Args:
        audio: The sounds.
        settings: What is done; the sounds' own fade is left out where its `fade` is None.

    Raises:
        ValueError: A loop is to be faded or to lose its silence, the channels cannot be converted,
            or are too many for a loudness.
    """
    if audio.loop:
        check_loop_finishing(settings)
    items = []
    for index, length in enumerate(audio.lengths):
        samples = audio.samples[index, :, :length].detach().to("cpu", torch.float32)
        item, word = finish(samples, audio.sample_rate, settings)
        items.append(item)
        if word:
            logger.warning("item %d is at %s", index, word)
    lengths = tuple(item.shape[-1] for item in items)
    count = audio.channels if settings.channels is None else settings.channels
    finished = audio.samples.new_zeros(len(items), count, max(lengths, default=0))
    for row, item in zip(finished, items, strict=True):
        row[:, : item.shape[-1]] = item
    return replace(
        audio,
        samples=finished,
        sample_rate=settings.sample_rate or audio.sample_rate,
        lengths=lengths,
        fade=0.0,
        tags=tuple(with_finishing(tags, settings) for tags in audio.tags),
    )


def fade_out(
    samples: Float[Tensor, "channels time"], sample_rate: int, seconds: float
) -> Float[Tensor, "channels time"]:
    """Let the end fall to 0 along half a cosine; a sound that is shorter fades as a whole."""
    length = min(round(seconds * sample_rate), samples.shape[-1])
    if not length:
        return samples
    falling = 0.5 + 0.5 * torch.cos(torch.arange(1, length + 1) * (math.pi / length))
    kept, end = samples[..., :-length], samples[..., -length:]
    return torch.cat([kept, end * falling], dim=-1)


def _with_loudness(
    samples: Float[Tensor, "channels time"], sample_rate: int, loudness: float
) -> tuple[Float[Tensor, "channels time"], str]:
    """Scale a sound to an integrated loudness in LUFS, and say so where its true peak allows less.

    Raises:
        ValueError: It has more than two channels.
    """
    if len(samples) > 2:
        raise ValueError(
            f"loudness is that of mono or stereo, got {len(samples)} channels; mix them down first"
        )
    peak = true_peak(samples, sample_rate)
    louder, missing = at_loudness(
        samples, sample_rate, loudness, peak=peak, ceiling=amplitude(CEILING)
    )
    if not missing:
        return louder, ""
    return louder, (
        f"{loudness - missing:.1f} LUFS instead of {loudness:g}: the true peak would exceed "
        f"{CEILING:g} dB"
    )

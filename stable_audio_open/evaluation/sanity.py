"""Plain facts about recordings, which tell a broken set before a measure rewards it."""

import math
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.loudness import integrated_loudness
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.evaluation.result import Result
from stable_audio_open.evaluation.sets import recordings_by_id

SIZE = 2048
"""Samples in a spectrum."""
HOP = SIZE // 2
BLOCK = 256
"""Spectra that are held at once, in each channel."""
ROLLOFF = 0.99
EMPTY_DB = -80.0
"""Below the strongest bin: where nothing is."""
CLIPPED = 0.999
CLIPPED_RUN = 3
"""Consecutive samples at full scale that are clipped: a peak brought to it has one or two."""
NARROW = 0.001
"""Share of side energy below which a stereo recording is mono."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one recording; levels are None in silence."""

    seconds: float
    sample_rate: int
    channels: int
    peak_db: float | None
    """Relative to full scale."""
    loudness: float | None
    """LUFS, integrated."""
    rolloff: float | None
    """Hertz below which 99 % of the energy lies."""
    bandwidth: float | None
    """Hertz: the highest frequency within 80 dB of the strongest, on the mean of the frames that
    lie inside the recording; of all frames where these miss its sound."""
    width: float | None
    """Energy of the side over that of mid and side: 0 mono, 0.5 unrelated sides, 1 opposite."""
    clipped: int
    """Samples in runs of three or more at full scale."""
    silent: bool
    """Nothing exceeds -60 dB."""


class SanityResult(Result, frozen=True, kw_only=True):
    """Counts and medians of a set."""

    clipped: tuple[str, ...]
    """Ids with clipped samples."""
    mono: tuple[str, ...]
    """Ids of recordings that are mono, in one channel or in two."""
    faults: tuple[str, ...]
    """In words; empty where nothing is wrong."""
    median_seconds: float
    median_loudness: float | None
    median_rolloff: float | None
    median_bandwidth: float | None
    median_width: float | None
    per_file: dict[str, Facts]
    """By id."""


def facts(samples: Float[Tensor, "channels time"], sample_rate: int) -> Facts:
    """Measure one recording of one or two channels."""
    silent = is_silent(samples)
    peak = float(samples.abs().max())
    whole, inside = spectra(samples)
    return Facts(
        seconds=samples.shape[1] / sample_rate,
        sample_rate=sample_rate,
        channels=len(samples),
        peak_db=20 * math.log10(peak) if peak else None,
        loudness=integrated_loudness(samples, sample_rate),
        rolloff=None if silent else rolloff(whole, sample_rate),
        bandwidth=None if silent else bandwidth(inside if inside.any() else whole, sample_rate),
        width=None if silent else stereo_width(samples),
        clipped=clipped_samples(samples),
        silent=silent,
    )


class Spectra(NamedTuple):
    """Power of each bin in float64, summed over frames and channels."""

    whole: Float[Tensor, "bins"]
    """Of frames that reach beyond both ends, into silence, so that every sample counts."""
    inside: Float[Tensor, "bins"]
    """Of those that end where the recording does: a recording that is cut off in full sound, which
    is a click in all bins, is no wider than it was."""


def spectra(samples: Float[Tensor, "channels time"]) -> Spectra:
    """Return the spectra of a recording, a block at a time; silence follows one of under 2048."""
    audio = F.pad(samples, (0, max(0, SIZE - samples.shape[1])))
    last = audio.shape[1] // HOP - 1
    frames = math.ceil(audio.shape[1] / HOP) + 1
    audio = F.pad(audio, (HOP, frames * HOP - audio.shape[1]))
    window = torch.hann_window(SIZE, dtype=torch.float64)
    whole, inside = torch.zeros(2, SIZE // 2 + 1, dtype=torch.float64)
    for start in range(0, frames, BLOCK):
        block = audio[:, start * HOP : (min(start + BLOCK, frames) + 1) * HOP]
        spectrum = torch.fft.rfft(block.double().unfold(1, SIZE, HOP) * window)
        power = (spectrum.real.square() + spectrum.imag.square()).sum(dim=0)
        whole += power.sum(dim=0)
        inside += power[max(1 - start, 0) : max(last + 1 - start, 0)].sum(dim=0)
    return Spectra(whole, inside)


def rolloff(power: Float[Tensor, "bins"], sample_rate: int) -> float | None:
    """Return the hertz below which 99 % of the energy of a spectrum lies; None where is none."""
    if not power.any():
        return None
    below = power.cumsum(dim=0)
    place = int((below < ROLLOFF * below[-1]).sum())
    return place * sample_rate / 2 / (len(power) - 1)


def bandwidth(power: Float[Tensor, "bins"], sample_rate: int) -> float | None:
    """Return the highest hertz within 80 dB of the strongest of a spectrum; None without power."""
    if not power.any():
        return None
    strong = power > power.max() * 10 ** (EMPTY_DB / 10)
    return int(strong.nonzero().max()) * sample_rate / 2 / (len(power) - 1)


def stereo_width(samples: Float[Tensor, "channels time"]) -> float | None:
    """Return the share of the side's energy, 0 for one channel; None where there is no energy."""
    mid = side = 0.0
    for block in samples.split(BLOCK * HOP, dim=1):
        left, right = block[0].double(), block[-1].double()
        mid += float((left + right).square().sum())
        side += float((left - right).square().sum())
    return side / (mid + side) if mid + side else None


def clipped_samples(samples: Float[Tensor, "channels time"]) -> int:
    """Return how many samples lie in runs of three or more at full scale, all channels together."""
    full = torch.nn.functional.pad(samples.abs() >= CLIPPED, (CLIPPED_RUN - 1, CLIPPED_RUN - 1))
    runs = full.unfold(1, CLIPPED_RUN, 1).all(dim=2)
    covered = runs.unfold(1, CLIPPED_RUN, 1).any(dim=2)
    return int(covered.sum())


def evaluate_sanity(folder: Path) -> SanityResult:
    """Measure the recordings of a folder, each at its own rate.

    Raises:
        AudioFileError: A recording cannot be read.
        ValueError: The folder has none.
    """
    rows = {}
    for name, path in recordings_by_id(folder).items():
        audio = read_audio(path)
        if audio.channels > 2:
            raise ValueError(f"{path}: has {audio.channels} channels; mix it down to stereo first")
        rows[name] = facts(audio.samples[0], audio.sample_rate)
    silent = tuple(name for name, row in rows.items() if row.silent)
    clipped = tuple(name for name, row in rows.items() if row.clipped)
    mono = tuple(name for name, row in rows.items() if row.width is not None and row.width < NARROW)
    rates = sorted({row.sample_rate for row in rows.values()})
    counts = {row.channels for row in rows.values()}
    return SanityResult(
        definition=(
            "silent: never above -60 dBFS; clipped: 3 or more samples in a row at full scale; "
            "loudness: BS.1770-4; rolloff: 99 % of the energy; bandwidth: within 80 dB of the "
            "strongest; width: share of the side's energy"
        ),
        audio=str(folder),
        checkpoint=None,
        checkpoint_hash=None,
        sample_rate=rates[0] if len(rates) == 1 else None,
        channels=counts.pop() if len(counts) == 1 else None,
        files=len(rows),
        windows=len(rows),
        silent=silent,
        clipped=clipped,
        mono=mono,
        faults=_faults(len(rows), silent, clipped, rates),
        median_seconds=median(row.seconds for row in rows.values()),
        median_loudness=_median([row.loudness for row in rows.values()]),
        median_rolloff=_median([row.rolloff for row in rows.values()]),
        median_bandwidth=_median([row.bandwidth for row in rows.values()]),
        median_width=_median([row.width for row in rows.values()]),
        per_file=rows,
    )


def _faults(
    files: int, silent: tuple[str, ...], clipped: tuple[str, ...], rates: list[int]
) -> tuple[str, ...]:
    found = []
    if silent:
        found.append(f"{len(silent)} of {files} recordings are silent ({silent[0]!r} first)")
    if clipped:
        found.append(f"{len(clipped)} of {files} recordings are clipped ({clipped[0]!r} first)")
    if len(rates) > 1:
        found.append(f"sample rates differ: {', '.join(map(str, rates))} Hz")
    return tuple(found)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None

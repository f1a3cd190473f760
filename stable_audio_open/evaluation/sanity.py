"""Plain facts about recordings, which tell a broken set before a measure rewards it."""

import math
from pathlib import Path
from statistics import median

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.silence import is_silent
from stable_audio_open.evaluation.loudness import integrated_loudness
from stable_audio_open.evaluation.result import Result
from stable_audio_open.evaluation.sets import recordings_by_id

SIZE = 2048
"""Samples in a spectrum."""
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
    """Hertz: the highest frequency of the mean spectrum within 80 dB of its strongest."""
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
    power = _mean_spectrum(samples)
    return Facts(
        seconds=samples.shape[1] / sample_rate,
        sample_rate=sample_rate,
        channels=len(samples),
        peak_db=20 * math.log10(peak) if peak else None,
        loudness=integrated_loudness(samples, sample_rate),
        rolloff=None if silent else rolloff(power, sample_rate),
        bandwidth=None if silent else bandwidth(power, sample_rate),
        width=None if silent else stereo_width(samples),
        clipped=clipped_samples(samples),
        silent=silent,
    )


def rolloff(power: Float[Tensor, "bins"], sample_rate: int) -> float:
    """Return the frequency below which 99 % of the energy of a spectrum lies, in hertz."""
    below = power.cumsum(dim=0)
    place = int((below < ROLLOFF * below[-1]).sum())
    return place * sample_rate / 2 / (len(power) - 1)


def bandwidth(power: Float[Tensor, "bins"], sample_rate: int) -> float:
    """Return the highest frequency within 80 dB of the strongest of a spectrum, in hertz."""
    heard = power > power.max() * 10 ** (EMPTY_DB / 10)
    return int(heard.nonzero().max()) * sample_rate / 2 / (len(power) - 1)


def stereo_width(samples: Float[Tensor, "channels time"]) -> float:
    """Return the share of the side's energy, 0 for one channel."""
    if len(samples) == 1:
        return 0.0
    left, right = samples.double()
    mid, side = (left + right).square().sum(), (left - right).square().sum()
    return float(side / (mid + side))


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


def _mean_spectrum(samples: Float[Tensor, "channels time"]) -> Float[Tensor, "bins"]:
    """Return the power of each bin, mean over frames and channels."""
    padded = torch.nn.functional.pad(samples, (0, max(0, SIZE - samples.shape[1]))).double()
    window = torch.hann_window(SIZE, dtype=torch.float64)
    frames = padded.unfold(1, SIZE, SIZE // 2) * window
    spectrum = torch.fft.rfft(frames)
    power: Tensor = (spectrum.real.square() + spectrum.imag.square()).mean(dim=(0, 1))
    return power


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None

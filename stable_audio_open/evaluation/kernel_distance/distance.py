"""The kernel audio distance (KAD) between folders of recordings."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.embeddings.vectors import (
    COUNTS,
    Channels,
    Vectors,
    brought_to,
    embed_recordings,
)
from stable_audio_open.evaluation.kernel_distance.bandwidth import Bandwidth, median_distance
from stable_audio_open.evaluation.kernel_distance.mmd import check_resampling, compare
from stable_audio_open.evaluation.kernel_distance.resampling import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
)
from stable_audio_open.evaluation.kernel_distance.sample import Sample, make_sample
from stable_audio_open.evaluation.result import Result, naming
from stable_audio_open.evaluation.sets import match, recordings_by_id
from stable_audio_open.evaluation.weights import weights_hash

SCALE = 1000
"""What a squared MMD is multiplied by, for reading."""
FEW = 10
"""Recordings, or groups, below which an interval is a rough one."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, and between what the true one lies."""

    value: float
    low: float
    high: float


class OtherSet(msgspec.Struct, frozen=True, kw_only=True):
    """Another set at its distance from the same reference, and which is nearer."""

    audio: str
    """Folder of its recordings."""
    files: int
    windows: int
    silent: tuple[str, ...]
    """Ids of its recordings that never exceed -60 dB of full scale."""
    missing: tuple[str, ...]
    """Ids that the reference alone has."""
    extra: tuple[str, ...]
    """Ids that the reference lacks."""
    paired: int
    """Recordings, or groups, that both sets have and that are resampled together."""
    distance: Interval
    """Kernel distance to the reference."""
    difference: Interval
    """Distance of the first set less that of this one: below 0 where the first is nearer."""
    leaves_out_0: bool
    """Whether 0 is outside of the interval of the difference."""


class KernelDistanceResult(Result, frozen=True, kw_only=True):
    """How far the embeddings of a set are from those of a reference."""

    kernel_distance: Interval
    """Squared MMD times 1000, 0..2000; the estimate may be below 0."""
    of_all_pairs: float
    """The same with pairs of one recording or group, as estimated where none are told apart."""
    confidence: float
    """Share of such intervals that hold the true distance."""
    resamples: int
    """Resamples behind the intervals."""
    bandwidth: float
    """Of the Gaussian kernel."""
    bandwidth_windows: int
    """Windows of the reference that the bandwidth is the median distance of."""
    reference_files: int
    reference_windows: int
    groups: int | None
    """Groups of the recordings that are judged; None where each is a group of its own."""
    dimensions: int
    """Numbers in a vector."""
    caution: str | None
    """What to mind when the interval is read; None where there is nothing."""
    against: OtherSet | None
    """Another set, where one is compared."""


def evaluate_kad(
    generated: Path,
    reference: Path,
    embedder: Embedder,
    *,
    against: Path | None = None,
    groups: Mapping[str, str] | None = None,
    channels: Channels = "stereo",
    allow_missing: bool = False,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    memory: ResultCache | None = None,
) -> KernelDistanceResult:
    """Compare the recordings of a folder with those of another, as sets.

    Recordings are the units that are resampled, all sets at once where they share ids; pairs of one
    recording's windows, or of a generation and the reference of its id, do not count.

    Args:
        generated: Folder of the recordings that are judged.
        reference: Folder of those that they are compared with, whose median distance is the
            bandwidth.
        embedder: Judges.
        against: Folder of another set, to say which of both is nearer.
        groups: Group of each generation by its id, of both sets, such as its caption where there
            are several seeds: groups are then the units. The id of a reference is its group.
        channels: See `embed_recordings`.
        allow_missing: The sets may have different ids (groups, where there are some).
        resamples: Resamples of the units, 100 to 100,000.
        confidence: Share of the intervals that shall hold the true distance.
        seed: Seed of the resamples, and of the bandwidth's windows where these are drawn.
        memory: Results that were computed before, for sets that share recordings.

    Raises:
        AudioFileError: A recording cannot be read.
        UnmeasurableError: A set has fewer than two recordings, or half of the reference's pairs are
            equal.
        ValueError: The ids differ, a generation has no group, or a number is out of its range.
    """
    check_resampling(resamples=resamples, confidence=confidence)
    sets = [
        _find(folder, grouped)
        for folder, grouped in ((reference, None), (generated, groups), (against, groups))
        if folder is not None
    ]
    theirs, *judged = sets
    matched = [
        match(
            one.grouped,
            theirs.grouped,
            names=(one.folder, reference),
            allow_missing=allow_missing,
        )
        for one in judged
    ]
    numbers = _numbers(sets)
    embedded = [
        embed_recordings(one.files, embedder, channels=channels, memory=memory) for one in sets
    ]
    samples = [_sample(one, found, numbers) for one, found in zip(sets, embedded, strict=True)]
    with naming(reference):
        bandwidth = median_distance(samples[0].values, seed=seed)
    found = compare(
        samples[1],
        samples[0],
        bandwidth.value,
        against=samples[2] if len(samples) > 2 else None,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    other = None
    if against is not None:
        assert found.other is not None
        assert found.difference is not None
        other = OtherSet(
            audio=str(against),
            files=len(judged[1].files),
            windows=len(samples[2].values),
            silent=embedded[2].silent,
            missing=matched[1].missing,
            extra=matched[1].extra,
            paired=len(judged[0].grouped.keys() & judged[1].grouped.keys()),
            distance=_scaled(found.other),
            difference=_scaled(found.difference),
            leaves_out_0=found.difference.leaves_out_0,
        )
    return KernelDistanceResult(
        definition=_definition(bandwidth, samples[0], grouped=groups is not None)
        + brought_to(embedder, channels),
        audio=str(generated),
        reference=str(reference),
        checkpoint=embedder.name,
        checkpoint_hash=weights_hash(embedder),
        sample_rate=embedder.sample_rate,
        channels=COUNTS[channels],
        files=len(judged[0].files),
        windows=len(samples[1].values),
        reference_files=len(theirs.files),
        reference_windows=len(samples[0].values),
        groups=None if groups is None else len(judged[0].grouped),
        silent=embedded[1].silent,
        missing=matched[0].missing,
        extra=matched[0].extra,
        seed=seed,
        dimensions=samples[0].values.shape[1],
        bandwidth=bandwidth.value,
        bandwidth_windows=bandwidth.vectors,
        confidence=confidence,
        resamples=resamples,
        kernel_distance=_scaled(found.distance),
        of_all_pairs=SCALE * found.distance_of_all_pairs,
        caution=_caution([len(one.grouped) for one in sets]),
        against=other,
    )


class _Found(NamedTuple):
    folder: Path
    files: dict[str, Path]
    grouped: dict[str, str]
    """The first id of each group."""
    groups: tuple[str, ...]
    """Group of each file, in order."""


def _find(folder: Path, groups: Mapping[str, str] | None) -> _Found:
    """Return the recordings of a folder; where there are groups, each must have one."""
    files = recordings_by_id(folder)
    if groups is None:
        groups = {name: name for name in files}
    lacking = [name for name in files if name not in groups]
    if lacking:
        raise ValueError(
            f"{folder}: {lacking[0]!r} is in no group, as {len(lacking)} of {len(files)} "
            "recordings; name the group of each"
        )
    groups_of = tuple(groups[name] for name in files)
    grouped: dict[str, str] = {}
    for name, group in zip(files, groups_of, strict=True):
        grouped.setdefault(group, name)
    return _Found(folder, files, grouped, groups_of)


def _numbers(sets: Iterable[_Found]) -> dict[str, int]:
    """Return a number for each group, the same in all sets."""
    every = sorted({group for one in sets for group in one.grouped})
    return {group: number for number, group in enumerate(every)}


def _sample(found: _Found, vectors: Vectors, numbers: Mapping[str, int]) -> Sample:
    units = torch.tensor([numbers[group] for group in found.groups])
    with naming(found.folder):
        return make_sample(vectors.values, units[vectors.owners])


def _scaled(found: Estimate) -> Interval:
    value, low, high = (SCALE * one for one in found)
    return Interval(value=value, low=low, high=high)


def _definition(bandwidth: Bandwidth, reference: Sample, *, grouped: bool) -> str:
    windows = "the reference's windows"
    if bandwidth.drawn:
        windows = f"{bandwidth.vectors:,} of the reference's {len(reference.values):,} windows"
    return (
        f"{SCALE} x unbiased squared MMD over the windows of all files, without pairs of one "
        f"{'group' if grouped else 'id'}; Gaussian kernel, bandwidth the median distance of "
        f"{windows}; "
    )


def _caution(counts: list[int]) -> str | None:
    if min(counts) >= FEW:
        return None
    return f"{min(counts)} recordings or groups in a set are few: the interval is a rough one"

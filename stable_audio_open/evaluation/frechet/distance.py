"""The Frechet distance between two sets of recordings (FD_openl3 in the paper)."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.embeddings.vectors import (
    COUNTS,
    Channels,
    brought_to,
    embed_recordings,
    through,
)
from stable_audio_open.evaluation.frechet.extrapolation import (
    WINDOWS_PER_POINT,
    Extrapolation,
    check_points,
    extrapolate,
)
from stable_audio_open.evaluation.frechet.gaussian import (
    contributions,
    fit_gaussian,
    frechet_distance,
)
from stable_audio_open.evaluation.frechet.published import SUFFIX, read_published
from stable_audio_open.evaluation.frechet.statistics import (
    Origin,
    Statistics,
    file_hashes,
    read_statistics,
    write_statistics,
)
from stable_audio_open.evaluation.result import Result, naming
from stable_audio_open.evaluation.sets import MatchedRecordings, match, recordings_by_id
from stable_audio_open.evaluation.weights import weights_hash

STATISTICS_SUFFIX = ".safetensors"
POINTS = 15
"""Points of an extrapolation."""


class FrechetResult(Result, frozen=True, kw_only=True):
    """How far the embeddings of a set are from those of a reference."""

    distance: float
    """Squared Frechet distance, 0 or more."""
    extrapolated: Extrapolation | None
    """To infinitely many windows; None where it was not asked for."""
    reference_files: int | None
    """Recordings of the reference; None where published statistics do not tell."""
    reference_windows: int | None
    """Their windows; None where published statistics do not tell."""
    dimensions: int
    """Numbers in a vector."""
    caution: str | None
    """What to mind when the distance is read; None where there is nothing."""
    contributions: dict[str, float]
    """By how much each file raises the distance, to first order; below 0 it lowers it."""


def evaluate_frechet(
    generated: Path,
    reference: Path,
    embedder: Embedder,
    *,
    channels: Channels = "stereo",
    cache: Path | None = None,
    allow_missing: bool = False,
    paired: bool = True,
    points: int | None = None,
    seed: int = 0,
    memory: ResultCache | None = None,
) -> FrechetResult:
    """Compare the recordings of a folder with those of another, as sets.

    Args:
        generated: Folder of the recordings that are judged; all of them count.
        reference: Folder, or a file of statistics: what `cache` made, or an .npz with `mu_ref` and
            `sigma_ref`, as the authors of the paper's metrics publish them. Such a file does not
            tell its recordings, so that ids are not compared, nor its embedder.
        embedder: Judges.
        channels: See `embed_recordings`.
        cache: Statistics of the reference; read where it exists, written where it does not.
        allow_missing: The sets may have different ids.
        paired: A recording has the id of its reference; else ids are not compared.
        points: Points of the extrapolation to infinitely many windows; 0 leaves it out. None takes
            15, where there are the 60 windows that these need.
        seed: Seed of the extrapolation.
        memory: Results that were computed before, for sets that share recordings.

    Raises:
        AudioFileError: A recording cannot be read.
        UnmeasurableError: A set has fewer than two windows.
        ValueError: The ids differ, the statistics are of another set or embedder, or there are too
            few windows for the points.
    """
    if points:
        check_points(points)
    files = recordings_by_id(generated)
    matched: Callable[[Mapping[str, object], Mapping[str, object]], MatchedRecordings] = partial(
        match, names=(generated, reference), allow_missing=allow_missing
    )
    if not paired:
        matched = _unmatched
    digest = weights_hash(embedder)
    if reference.suffix in (STATISTICS_SUFFIX, SUFFIX) and cache is not None:
        raise ValueError(f"{reference}: holds statistics already; leave the cache {cache} out")
    if reference.suffix == SUFFIX:
        theirs = Statistics(read_published(reference), None)
        ids = _unmatched(files, {})
    elif reference.suffix == STATISTICS_SUFFIX:
        theirs = _checked(reference, embedder, digest, channels)
        assert theirs.origin is not None
        ids = matched(files, theirs.origin.files)
    else:
        found = recordings_by_id(reference)
        ids = matched(files, found)
        with naming(reference):
            theirs = reference_statistics(
                found, embedder, digest, channels=channels, cache=cache, memory=memory
            )
    own = embed_recordings(files, embedder, channels=channels, memory=memory)
    if points is None:
        points = POINTS if len(own.values) >= WINDOWS_PER_POINT * POINTS else 0
    with naming(generated):
        gaussian = fit_gaussian(own.values)
    width = len(theirs.gaussian.mean)
    if width != own.values.shape[1]:
        raise ValueError(
            f"{reference}: is of vectors of {width} numbers, and {embedder.name} with "
            f"{channels} channels gives {own.values.shape[1]}; use the embedder that it was made by"
        )
    shares = contributions(own.values, own.owners, len(files), theirs.gaussian)
    return FrechetResult(
        definition=(
            "squared Frechet distance of Gaussians over all windows of all files; "
            f"{brought_to(embedder, channels)}"
        ),
        audio=str(generated),
        reference=str(reference),
        checkpoint=embedder.name,
        checkpoint_hash=digest,
        sample_rate=embedder.sample_rate,
        channels=COUNTS[channels],
        files=len(files),
        windows=len(own.values),
        reference_files=None if theirs.origin is None else len(theirs.origin.files),
        reference_windows=theirs.gaussian.windows,
        silent=own.silent,
        missing=ids.missing,
        extra=ids.extra,
        seed=seed if points else None,
        dimensions=own.values.shape[1],
        caution=_caution(len(own.values), theirs.gaussian.windows, own.values.shape[1]),
        distance=frechet_distance(gaussian, theirs.gaussian),
        extrapolated=(
            extrapolate(own.values, theirs.gaussian, points=points, seed=seed) if points else None
        ),
        contributions=dict(zip(own.ids, shares.tolist(), strict=True)),
    )


def _unmatched(_own: Mapping[str, object], _reference: Mapping[str, object]) -> MatchedRecordings:
    return MatchedRecordings((), (), ())


def reference_statistics(
    files: Mapping[str, Path],
    embedder: Embedder,
    embedder_hash: str | None,
    *,
    channels: Channels = "stereo",
    cache: Path | None = None,
    memory: ResultCache | None = None,
) -> Statistics:
    """Return the Gaussian of a set of recordings, from the cache where it holds just that.

    Args:
        files: By id.
        embedder: Judges.
        embedder_hash: Hash of its weights.
        channels: See `embed_recordings`.
        cache: Written where it does not exist.
        memory: Results that were computed before.

    Raises:
        UnmeasurableError: There are fewer than two windows.
        ValueError: The cache holds something else; it is left as it is.
    """
    if cache is not None and cache.suffix != STATISTICS_SUFFIX:
        raise ValueError(f"{cache}: a cache of statistics must end in {STATISTICS_SUFFIX}")
    hashes = file_hashes(files) if cache is not None else dict.fromkeys(files, "")
    if cache is not None and cache.exists():
        kept = _checked(cache, embedder, embedder_hash, channels)
        assert kept.origin is not None
        there = kept.origin.files
        changed = sorted(
            name for name in hashes.keys() | there.keys() if hashes.get(name) != there.get(name)
        )
        if changed:
            raise ValueError(
                f"{cache}: was made of other recordings ({len(changed)} differ, {changed[0]!r} "
                "first); delete it, or name another cache"
            )
        return kept
    found = embed_recordings(files, embedder, channels=channels, memory=memory)
    origin = Origin(
        embedder=embedder.name,
        embedder_hash=embedder_hash,
        channels=channels,
        through=through(embedder),
        files=hashes,
    )
    made = Statistics(fit_gaussian(found.values), origin)
    if cache is not None:
        write_statistics(cache, made)
    return made


def _caution(windows: int, reference_windows: int | None, dimensions: int) -> str | None:
    """Say what becomes of a covariance that its windows do not fill."""
    known = [windows] if reference_windows is None else [windows, reference_windows]
    if min(known) > dimensions:
        return None
    theirs = "an unknown number" if reference_windows is None else f"{reference_windows:,}"
    return (
        f"{windows:,} windows, {theirs} of the reference, are few for vectors of "
        f"{dimensions:,} numbers, which raises the distance: compare it only with those of as many"
    )


def _checked(path: Path, embedder: Embedder, digest: str | None, channels: Channels) -> Statistics:
    """Return statistics of this very embedder."""
    found = read_statistics(path)
    wanted = (embedder.name, digest, channels, through(embedder))
    origin = found.origin
    assert origin is not None
    made = (origin.embedder, origin.embedder_hash, origin.channels, origin.through)
    if made != wanted:
        raise ValueError(
            f"{path}: was made by {_words(*made)}, not by {_words(*wanted)}; name another file"
        )
    return found


def _words(name: str, digest: str | None, channels: Channels, rate: int | None) -> str:
    by_way = f", through {rate} Hz" if rate else ""
    return f"{name} (weights {digest or 'unknown'}, {channels}{by_way})"

"""The mean KL divergence between the classes that a tagger finds in pairs of recordings.

The paper's (KL_passt) is that of its authors' evaluation: the logits of a recording's windows are
averaged, softmax makes one distribution of them, and KL(generated || reference) has 1e-6 added to
the reference. Others turn it around or average probabilities, which gives other numbers.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.levels import PEAK_DB, at_peak
from stable_audio_open.evaluation.probabilities import SUFFIXES, read_probabilities
from stable_audio_open.evaluation.result import Result, UnmeasurableError
from stable_audio_open.evaluation.sets import match, recordings_by_id
from stable_audio_open.evaluation.weights import weights_hash

EPSILON = 1e-6
SMALLEST, LARGEST = 2.0**-126, 1 - 2.0**-24
"""Bounds of the probabilities in float32 that have finite logits."""

Pooling = Literal["logits", "windows"]


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the KL divergences."""

    forward: bool = True
    """KL(generated || reference), else KL(reference || generated)."""
    pooling: Pooling = "logits"
    """Softmax of the mean logits, or mean over windows of softmax."""
    epsilon: float = EPSILON
    """Added to the second distribution."""

    def __str__(self) -> str:
        first, second = ("generated", "reference")[:: 1 if self.forward else -1]
        pooled = {
            "logits": "softmax of the mean logits of the windows",
            "windows": "mean over windows of the softmax of their logits",
        }[self.pooling]
        return f"KL({first} || {second}), {self.epsilon:g} added to the {second}; {pooled}"


DEFINITIONS = {
    "paper": Definition(),
    "reverse": Definition(forward=False),
    "windows": Definition(pooling="windows"),
    "reverse-windows": Definition(forward=False, pooling="windows"),
}
"""Definitions by the names that commands know them by."""


@runtime_checkable
class LogitTagger(Protocol):
    """A tagger that gives its logits too; of others those behind a sigmoid are taken."""

    def logits(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "frames classes"]:
        """Return what the probabilities are made of."""


class KlResult(Result, frozen=True, kw_only=True):
    """How different the classes of two sets are, pair by pair."""

    divergence: float
    """Mean over the files, in nats; slightly below 0 for equal sets."""
    classes: int
    """Number of classes."""
    per_file: dict[str, float]
    """Divergence by id."""


def evaluate_kl(
    generated: Path,
    reference: Path,
    tagger: Tagger | ClipTagger,
    *,
    definition: Definition | None = None,
    allow_missing: bool = False,
    memory: ResultCache | None = None,
    clips: Mapping[str, str] | None = None,
) -> KlResult:
    """Compare each recording of a folder with that of the same id in another.

    The tagger gets the mean of their channels, at a peak of -1 dB of full scale.

    Args:
        generated: Folder of the recordings that are judged.
        reference: Folder of those that they are compared with, or a pickle of a distribution for
            each of them, by id, as the authors of the paper's metrics publish them; those are of
            the mean logits.
        tagger: Tagger of whole clips, or of frames.
        definition: The paper's when None.
        allow_missing: Compare what both folders have.
        memory: Logits of recordings, for sets that share some.
        clips: Second ids of generations, those of the clips that they are to sound like: a pickle
            may have either, and what else it has is not missed.

    Raises:
        AudioFileError: A recording cannot be read.
        ValueError: The ids differ, or none is common; the pickle is none, or of another tagger.
    """
    definition = definition or Definition()
    own = recordings_by_id(generated)
    published = reference.suffix in SUFFIXES
    theirs: Mapping[str, Any] = (
        _published(reference, definition, own, clips) if published else recordings_by_id(reference)
    )
    ids = match(own, theirs, names=(generated, reference), allow_missing=allow_missing)
    if not ids.common:
        raise UnmeasurableError(
            f"{generated}: shares no id with {reference}; there is nothing to compare"
        )
    tag: Callable[[Path], _Tagged] = partial(_tagged, tagger)
    if memory is not None:
        tag = memory.of(tag, "logits", tagger.name)
    windows, classes, silent, per_file = 0, 0, [], {}
    for name in ids.common:
        mine = tag(own[name])
        windows += len(mine.logits)
        classes = mine.logits.shape[1]
        if mine.silent:
            silent.append(name)
        pair = [distribution(mine.logits, pooling=definition.pooling)]
        if published:
            pair.append(theirs[name])
        else:
            pair.append(distribution(tag(theirs[name]).logits, pooling=definition.pooling))
        if len(pair[1]) != classes:
            raise ValueError(
                f"{reference}: holds {len(pair[1])} classes, and {tagger.name} knows {classes}; "
                "use the tagger that it was made by"
            )
        first, second = pair if definition.forward else pair[::-1]
        per_file[name] = float(kl_divergence(first, second, epsilon=definition.epsilon))
    return KlResult(
        definition=f"{definition}; {_windows(tagger)}mean over files; mono, peak {PEAK_DB:g} dBFS",
        audio=str(generated),
        reference=str(reference),
        checkpoint=tagger.name,
        checkpoint_hash=weights_hash(tagger),
        sample_rate=tagger.sample_rate,
        channels=1,
        files=len(per_file),
        windows=windows,
        silent=tuple(silent),
        missing=ids.missing,
        extra=ids.extra,
        divergence=fmean(per_file.values()),
        classes=classes,
        per_file=per_file,
    )


def kl_divergence(
    first: Float[Tensor, "*files classes"],
    second: Float[Tensor, "*files classes"],
    *,
    epsilon: float = EPSILON,
) -> Float[Tensor, "*files"]:
    """Return sum over classes of p log(p / (q + epsilon)), in nats and float64.

    With epsilon the sum is slightly negative for equal distributions: about -epsilon times the
    classes, -0.000527 for 527; less so where classes are not far above epsilon.

    Args:
        first: p, distributions over classes.
        second: q.
        epsilon: Keeps classes that q excludes from an infinite divergence.

    Raises:
        ValueError: A row is not a distribution.
    """
    p, q = first.double(), second.double()
    for name, rows in (("first", p), ("second", q)):
        total = rows.sum(dim=-1)
        if not bool((rows >= 0).all()) or not bool(((total - 1).abs() < 1e-3).all()):
            raise ValueError(
                f"the {name} of two distributions must be 0 or more and sum to 1, got a sum of "
                f"{float(total.min()):g} to {float(total.max()):g}; use softmax"
            )
    divergence: Tensor = (torch.xlogy(p, p) - torch.xlogy(p, q + epsilon)).sum(dim=-1)
    return divergence


def logits_of(probabilities: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return the logits behind the sigmoid, in float64; finite at 0 and 1 too."""
    return torch.logit(probabilities.double().clamp(SMALLEST, LARGEST))


def distribution(
    logits: Float[Tensor, "windows classes"], *, pooling: Pooling = "logits"
) -> Float[Tensor, "classes"]:
    """Return one distribution over the classes for a recording, in float64."""
    wide = logits.double()
    if pooling == "logits":
        return wide.mean(dim=0).softmax(dim=0)
    return wide.softmax(dim=1).mean(dim=0)


def _published(
    path: Path, definition: Definition, own: Mapping[str, Path], clips: Mapping[str, str] | None
) -> dict[str, Tensor]:
    """Return the distributions of a file by the ids of the generations."""
    if definition.pooling != "logits":
        raise ValueError(
            f"{path}: is of mean logits, and the softmax of each of the {definition.pooling} is "
            "asked for; use the definition paper or reverse, or a folder of recordings"
        )
    found = read_probabilities(path)
    if clips is None:
        return found
    known = {name: name if name in found else clips.get(name, name) for name in own}
    return {name: found[one] for name, one in known.items() if one in found}


def _windows(tagger: Tagger | ClipTagger) -> str:
    return f"{tagger.definition}; " if isinstance(tagger, ClipTagger) else ""


class _Tagged(NamedTuple):
    logits: Float[Tensor, "frames classes"]
    silent: bool


def _tagged(tagger: Tagger | ClipTagger, path: Path) -> _Tagged:
    mono = read_audio(path, sample_rate=tagger.sample_rate, channels=1).samples[0, 0]
    level = at_peak(mono)
    if isinstance(tagger, LogitTagger):
        logits = tagger.logits(level).double()
    else:
        logits = logits_of(tagger(level))
    if not torch.isfinite(logits).all():
        raise ValueError(f"{path}: the tagger's answer is not finite; check its weights")
    return _Tagged(logits, is_silent(mono))

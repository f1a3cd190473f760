"""The mean KL divergence between what a tagger hears in pairs of recordings (KL_passt)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.silence import is_silent
from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.divergence import (
    Definition,
    distribution,
    kl_divergence,
    logits_of,
)
from stable_audio_open.evaluation.levels import PEAK_DB, at_peak
from stable_audio_open.evaluation.result import Result
from stable_audio_open.evaluation.sets import match, recordings_by_id
from stable_audio_open.evaluation.weights import weights_hash


@runtime_checkable
class LogitTagger(Protocol):
    """A tagger that gives its logits too; of others those behind a sigmoid are taken."""

    def logits(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "frames classes"]:
        """Return what the probabilities are made of."""


class KlResult(Result, frozen=True, kw_only=True):
    """How differently a tagger hears two sets, pair by pair."""

    divergence: float
    """Mean over the files, in nats; slightly below 0 for equal sets."""
    classes: int
    per_file: dict[str, float]
    """By id."""


def evaluate_kl(
    generated: Path,
    reference: Path,
    tagger: Tagger | ClipTagger,
    *,
    definition: Definition | None = None,
    allow_missing: bool = False,
    memory: ResultCache | None = None,
) -> KlResult:
    """Compare each recording of a folder with that of the same id in another.

    Recordings are heard as the mean of their channels, at a peak of -1 dB of full scale.

    Args:
        generated: Folder of the recordings that are judged.
        reference: Folder of those that they are compared with.
        tagger: Of whole clips, or of frames.
        definition: The paper's when None.
        allow_missing: Compare what both folders have.
        memory: Of what was heard, for sets that share recordings.

    Raises:
        AudioFileError: A recording cannot be read.
        ValueError: The ids differ, or none is common.
    """
    definition = definition or Definition()
    own, theirs = recordings_by_id(generated), recordings_by_id(reference)
    ids = match(own, theirs, names=(generated, reference), allow_missing=allow_missing)
    if not ids.common:
        raise ValueError(f"{generated}: shares no id with {reference}; there is nothing to compare")
    hear: Callable[[Path], _Heard] = partial(_heard, tagger)
    if memory is not None:
        hear = memory.of(hear, "logits", tagger.name)
    windows, classes, silent, per_file = 0, 0, [], {}
    for name in ids.common:
        mine = hear(own[name])
        windows += len(mine.logits)
        classes = mine.logits.shape[1]
        if mine.silent:
            silent.append(name)
        pair = [
            distribution(heard.logits, pooling=definition.pooling)
            for heard in (mine, hear(theirs[name]))
        ]
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


def _windows(tagger: Tagger | ClipTagger) -> str:
    return f"{tagger.definition}; " if isinstance(tagger, ClipTagger) else ""


class _Heard(NamedTuple):
    logits: Float[Tensor, "frames classes"]
    silent: bool


def _heard(tagger: Tagger | ClipTagger, path: Path) -> _Heard:
    mono = read_audio(path, sample_rate=tagger.sample_rate, channels=1).samples[0, 0]
    level = at_peak(mono)
    if isinstance(tagger, LogitTagger):
        logits = tagger.logits(level).double()
    else:
        logits = logits_of(tagger(level))
    if not torch.isfinite(logits).all():
        raise ValueError(f"{path}: the tagger's answer is not finite; check its weights")
    return _Heard(logits, is_silent(mono))

"""The CLAP score: how near recordings are to the prompts that they were made from."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

import msgspec
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio_models.embedder import (
    FusingEmbedder,
    JointEmbedder,
    recording_vector,
)
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.levels import PEAK_DB, at_peak, through_16_bits
from stable_audio_open.evaluation.result import Result
from stable_audio_open.evaluation.rows import read_id_rows
from stable_audio_open.evaluation.sets import match, recordings_by_id
from stable_audio_open.evaluation.weights import weights_hash

CROP = 10.0
"""Seconds that CLAP embeds at once."""
FUSED = "a random 10 s of each third fused with the whole"
"""What a model that fuses embeds of a longer recording, in words."""

Part = float | Literal["whole"]
"""Seconds that are embedded, or all of a recording by a model that fuses."""


class ClapPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A text and the recording made from it."""

    id: str
    prompt: str


class PromptScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one prompt."""

    id: str
    prompt: str
    start: float
    """Seconds into the recording where the crop starts; 0 where the model fuses."""
    score: float
    """Cosine."""


class ClapResult(Result, frozen=True, kw_only=True):
    """How well recordings go with their prompts."""

    score: float
    """Mean cosine over the prompts, -1..1."""
    per_prompt: tuple[PromptScore, ...]


def clap_score(
    audio: Float[Tensor, "prompts width"], text: Float[Tensor, "prompts width"]
) -> Float[Tensor, "prompts"]:
    """Return the cosine of each pair, in float64."""
    return functional.cosine_similarity(audio.double(), text.double(), dim=1)


def read_prompts(path: Path) -> list[ClapPrompt]:
    """Return the rows of a CSV file with the columns id and prompt; an id may come again.

    Raises:
        ValueError: A column or a value is missing, or there are no rows.
        OSError: The file cannot be read.
    """
    return [ClapPrompt(id=row.id, prompt=row.value) for row in read_id_rows(path, "prompt")]


def evaluate_clap(
    audio: Path,
    prompts: Sequence[ClapPrompt],
    embedder: JointEmbedder,
    *,
    source: str,
    seed: int = 0,
    crop: float | None = None,
    allow_missing: bool = False,
    memory: ResultCache | None = None,
) -> ClapResult:
    """Compare recordings with their prompts.

    The model embeds the mean of a recording's channels, at a peak of -1 dB of full scale, through
    16 bits. One that fuses, as the paper's does, embeds a random 10 s of each third of longer
    recordings with the whole; any other, and every one with `crop`, embeds a random part. The seed
    and the id determine what is random.

    Args:
        audio: Folder of the recordings.
        prompts: At least one.
        embedder: Network that has both in one space.
        source: Where the prompts come from, for the result.
        seed: Seed of the crops.
        crop: Seconds of longer recordings; None for what the model was made for, 10 s.
        allow_missing: Judge the prompts that have a recording.
        memory: Vectors of recordings and texts, for sets that share some.

    Raises:
        AudioFileError: A recording cannot be read.
        ValueError: The ids differ, or none is common.
    """
    if crop is not None and not crop > 0:
        raise ValueError(f"crop must be above 0 s, got {crop}")
    files = recordings_by_id(audio)
    wanted = {one.id: one for one in prompts}
    ids = match(files, wanted, names=(audio, source), allow_missing=allow_missing)
    if not ids.common:
        raise ValueError(f"{audio}: has no recording of {source}; there is nothing to compare")
    fused = crop is None and isinstance(embedder, FusingEmbedder) and embedder.fuses
    part: Part = "whole" if fused else crop or CROP
    embed: Callable[[Path, str], _Embedded] = partial(_embed, embedder, part=part, seed=seed)
    read: Callable[[str], Tensor] = partial(_read, embedder)
    if memory is not None:
        embed = memory.of(embed, "crop", embedder.name, part, seed)
        read = memory.of(read, "text", embedder.name)
    embedded = {name: embed(files[name], name) for name in ids.common}
    rows = []
    for one in prompts:
        if one.id in embedded:
            vector, start, _ = embedded[one.id]
            score = float(clap_score(vector[None], read(one.prompt)))
            rows.append(PromptScore(id=one.id, prompt=one.prompt, start=start, score=score))
    return ClapResult(
        definition=(
            "mean over prompts of the cosine of text and audio; mono, peak "
            f"{PEAK_DB:g} dBFS, 16 bits, {_longer(part)}"
        ),
        audio=str(audio),
        reference=source,
        checkpoint=embedder.name,
        checkpoint_hash=weights_hash(embedder),
        sample_rate=embedder.sample_rate,
        channels=1,
        files=len(embedded),
        windows=len(embedded),
        silent=tuple(name for name, one in embedded.items() if one.silent),
        missing=ids.missing,
        extra=ids.extra,
        seed=seed,
        score=fmean(row.score for row in rows),
        per_prompt=tuple(rows),
    )


def _longer(part: Part) -> str:
    if part == "whole":
        return f"{FUSED}, of longer recordings"
    return f"a random {part:g} s of longer recordings"


class _Embedded(NamedTuple):
    vector: Float[Tensor, "width"]
    start: float
    """Seconds."""
    silent: bool


def _embed(embedder: JointEmbedder, path: Path, name: str, *, part: Part, seed: int) -> _Embedded:
    rate, chance = embedder.sample_rate, random.Random(f"{seed}:{name}")
    mono = read_audio(path, sample_rate=rate, channels=1).samples[0, 0]
    # Level first, as the authors do: a crop keeps its place in the recording's dynamics.
    level = through_16_bits(at_peak(mono))
    if part == "whole":
        assert isinstance(embedder, FusingEmbedder)
        vector = embedder.embed_once(level, seed=chance.randrange(2**32))
        return _Embedded(vector, 0.0, is_silent(mono))
    length = round(part * rate)
    first = chance.randint(0, max(0, len(mono) - length))
    vector = recording_vector(embedder, level[first : first + length])
    return _Embedded(vector, first / rate, is_silent(mono))


def _read(embedder: JointEmbedder, prompt: str) -> Float[Tensor, "1 width"]:
    return embedder.embed_text([prompt])

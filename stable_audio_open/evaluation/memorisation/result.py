"""What a study of memorisation comes to."""

import math

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.evaluation.generations.prompted import PromptedSettings
from stable_audio_open.evaluation.result import Result
from stable_audio_open.settings import CANDIDATES, RANDOM_RECORDINGS

BINS = 40
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
DEFINITION = (
    "Cosine of the mean embeddings of chunks, the largest over the chunks of a sound and of all "
    "training recordings; one nearest recording for each sound (section 5.3). Chunks that never "
    "exceed -60 dB of full scale, as the mean of their channels, are left out."
)


class StudySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is generated and compared.

    Raises:
        ValueError: When a number is out of its range.
    """

    threshold: float | None = None
    """Least cosine of repeated training data, chosen by ear for each embedder; None finds
    recordings of the same samples alone."""
    repeated: int | None = None
    """Repeated recordings that give prompts; None is all."""
    random: int = RANDOM_RECORDINGS
    """Recordings of the whole set that give prompts, at most all (11,000 in the paper)."""
    per_prompt: int = 1
    """Sounds for each of these recordings."""
    top: int = CANDIDATES
    """Candidates of each section, as in the paper."""
    chunk: float = 10.0
    """Seconds that are compared at once."""
    baseline_quantile: float = 0.99
    """Quantile of the last baseline: what is nearer is counted."""

    def __post_init__(self) -> None:
        for name in ("random", "per_prompt", "top", "repeated"):
            value, least = getattr(self, name), 0 if name in ("random", "repeated") else 1
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0 < self.chunk < math.inf:
            raise ValueError(f"chunk must be above 0 s, got {self.chunk}")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold must lie within 0..1, above 0, got {self.threshold}; it is a cosine"
            )
        if not 0 <= self.baseline_quantile <= 1:
            raise ValueError(
                f"baseline_quantile must lie within 0..1, got {self.baseline_quantile}"
            )


class StudiedSet(msgspec.Struct, frozen=True, kw_only=True):
    """What there was to compare."""

    name: str
    folder: str
    files: int
    """Files that were compared."""
    windows: int
    """Chunks of these files that were compared."""
    silent: tuple[str, ...]
    """Files that were left out, since they are silent from start to end."""
    silent_windows: int
    """Chunks that were left out, in these files and in others."""
    unreadable: tuple[str, ...]
    """Files that were left out."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A sound and the training recording that is nearest to it."""

    rank: int
    similarity: float
    sound: str
    """Relative to the folder of the result."""
    prompt: str
    seed: int | None
    """None for sounds that were given."""
    prompted_recording: str | None
    """Training recording whose prompt it was."""
    prompted_similarity: float | None
    """Similarity to that recording."""
    recording: str
    """The nearest, relative to the folder of the training set."""
    caption: str
    """Caption of the nearest recording."""
    start: float
    """Seconds into the nearest recording, where the nearest chunk starts."""
    excerpt: str
    """That chunk, relative to the folder of the result."""


class NearestSection(msgspec.Struct, frozen=True, kw_only=True):
    """Sounds whose prompts have one origin."""

    title: str
    sounds: int
    """Sounds that were compared."""
    silent: tuple[str, ...]
    """Sounds that were left out."""
    prompted_recordings: int | None
    """Training recordings that gave prompts for the sounds that were compared."""
    nearest_is_prompted: int | None
    """Sounds whose nearest recording is the one that gave the prompt, or has its samples."""
    above_baseline: int
    """Sounds that are nearer to the training set than the baseline."""
    candidates: tuple[Candidate, ...]
    """The nearest sounds, in order."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Similarities of a set to the nearest training recordings."""

    name: str
    count: int
    quantiles: dict[str, float]
    histogram: tuple[int, ...]
    """Counts between the edges of the result."""


class Memorisation(Result, frozen=True, kw_only=True):
    """The result; nothing in it depends on when or in how many runs it was computed.

    The checkpoint is that of the embedder; judged are all sounds, the reference is the training
    set.
    """

    definition: str = DEFINITION
    sets: tuple[StudiedSet, ...]
    """The training set, held-out recordings where there are any, then what was judged."""
    settings: StudySettings
    generation: PromptedSettings
    repeated: tuple[tuple[str, ...], ...]
    """Groups of repeated training recordings."""
    baseline: float
    """Similarity above which sounds are counted: a quantile of the last baseline."""
    edges: tuple[float, ...]
    """Edges of the histograms."""
    distributions: tuple[Distribution, ...]
    """Baselines, then sections."""
    sections: tuple[NearestSection, ...]


def edges_of(values: Float[Tensor, "values"]) -> tuple[float, ...]:
    """Return the edges of `BINS` bins from a multiple of 0.05 below all values to 1."""
    lowest = min(math.floor(float(values.min()) * 20) / 20, 0.95)
    return tuple(round(lowest + (1 - lowest) * place / BINS, 6) for place in range(BINS + 1))


def distribution(
    name: str, values: Float[Tensor, "values"], edges: tuple[float, ...]
) -> Distribution:
    """Return count, quantiles and histogram of values within the edges."""
    bins = torch.bucketize(values, values.new_tensor(edges[1:-1]), right=True)
    counts = torch.bincount(bins, minlength=len(edges) - 1).tolist()
    quantiles = torch.quantile(values, values.new_tensor(QUANTILES)).tolist()
    return Distribution(
        name=name,
        count=len(values),
        quantiles={
            f"{q:.0%}": round(value, 6) for q, value in zip(QUANTILES, quantiles, strict=True)
        },
        histogram=tuple(counts),
    )

"""How far a set of recordings is from a reference (KAD), and whether another is nearer."""

from pathlib import Path
from typing import Literal, get_args

import msgspec

from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.evaluation.embeddings.groups import read_groups
from stable_audio_open.evaluation.kernel_distance.distance import (
    KernelDistanceResult,
    evaluate_kad,
)
from stable_audio_open.evaluation.kernel_distance.mmd import check_resampling
from stable_audio_open.evaluation.kernel_distance.resampling import CONFIDENCE, RESAMPLES


class KernelDistanceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which recordings are compared, and by what.

    Raises:
        ValueError: When a number is out of its range.
    """

    generated: Path
    """Folder of the recordings that are judged."""
    reference: Path
    """Folder of the recordings that they are compared with."""
    embedder: str
    """Network, as the registry names it: `musicnn`, `clap:FOLDER` and others."""
    against: Path | None = None
    """Folder of another set, to say which of both is nearer to the reference."""
    groups: Path | None = None
    """CSV with the columns id and group: generations of one group are resampled together. The id
    of a reference is its group."""
    channels: Literal["stereo", "mono"] = "stereo"
    """Join the embeddings of left and right, or mix them."""
    allow_missing: bool = False
    """The sets may have different ids (groups, where there are some)."""
    resamples: int = RESAMPLES
    """Resamples behind the intervals."""
    confidence: float = CONFIDENCE
    """Share of the intervals that shall hold the true distance."""
    seed: int = 0
    """Seed of the resamples, and of the bandwidth's windows where these are drawn."""
    device: str = "cpu"
    """Where the network computes."""

    def __post_init__(self) -> None:
        check_resampling(resamples=self.resamples, confidence=self.confidence)
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}")
        if self.channels not in get_args(Literal["stereo", "mono"]):
            raise ValueError(f"channels must be stereo or mono, got {self.channels!r}")


def measure_kernel_distance(request: KernelDistanceRequest) -> KernelDistanceResult:
    """Embed the recordings of two or three folders, and compare them as sets.

    Raises:
        AudioFileError: A recording cannot be read.
        OSError: The table of groups cannot be read.
        UnmeasurableError: A set is too small, or the reference is of copies of one recording.
        ValueError: The ids differ, or there is no such embedder.
    """
    groups = None if request.groups is None else read_groups(request.groups)
    return evaluate_kad(
        request.generated,
        request.reference,
        EMBEDDERS.load(request.embedder, device=request.device),
        against=request.against,
        groups=groups,
        channels=request.channels,
        allow_missing=request.allow_missing,
        resamples=request.resamples,
        confidence=request.confidence,
        seed=request.seed,
    )

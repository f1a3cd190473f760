"""Metrics that are taken of a model while it is trained."""

from msgspec import Struct

from stable_audio_open.config.fields import (
    Name,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    SamplingSteps,
    Seed,
)


class ReconstructionEvaluationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a small fixed set of recordings survives the autoencoder (tables 3 and 4)."""

    path: Name
    """Folder of the recordings; better none that are trained on."""
    manifest: Name = "manifest.jsonl"
    """One JSON object a line, or the `index.json` of a set in shards; relative to `path`."""
    count: Positive | None = None
    """The first so many of the recordings; all when null."""
    seconds: PositiveFloat = 47.0
    """Recordings are cut to so many."""
    every: Positive
    """Training steps between evaluations; the last step has one too."""
    at_start: bool = False
    """Evaluate before the first step too."""


class GenerationEvaluationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far generations from a small fixed set of captions are from its recordings (table 1).

    The networks are named as `stable-audio-open evaluate` takes them: `openl3:FILE.h5`,
    `passt:FILE.pt`, `clap:FILE.pt`, `musicnn` and others.
    """

    path: Name
    """Folder of the recordings; better none that are trained on."""
    manifest: Name = "manifest.jsonl"
    """One JSON object a line, with a caption, or the `index.json` of a set in shards; relative to
    `path`."""
    count: Positive | None = None
    """The first so many of the recordings; all when null."""
    seconds: PositiveFloat | None = None
    """Recordings are cut to so many, and generations are as long as they; the window when null."""
    every: Positive
    """Training steps between evaluations; the last step has one too."""
    at_start: bool = False
    """Evaluate before the first step too."""
    frechet: Name | None = None
    """Embedder of the Frechet distance; not taken when null."""
    kad: Name | None = None
    """Embedder of the kernel distance (KAD); not taken when null."""
    kl: Name | None = None
    """Tagger of the KL divergence; not taken when null."""
    clap: Name | None = None
    """Embedder of the CLAP score; not taken when null."""
    listen_on_cpu: bool = False
    """Let these networks compute on the CPU, where the GPU's memory is full; slower."""
    steps: SamplingSteps | None = None
    """Sampling steps; the model's default when null: 100, 50 of flows, 8 of those for few steps."""
    guidance_scale: NonNegativeFloat | None = None
    """Scale of classifier-free guidance; the model's default when null: 7, 4 or 1."""
    seed: Seed = 0
    """Seed of the first generation, from which the others count up."""
    keep_sounds: bool = False
    """Keep the generations of every evaluation in the run's folder, to listen to."""

    def __post_init__(self) -> None:
        """Check that something is measured."""
        if all(name is None for name in (self.frechet, self.kad, self.kl, self.clap)):
            raise ValueError(
                "`frechet`, `kad`, `kl` and `clap` are all null; name a network for at least one, "
                "such as `musicnn` for `frechet`"
            )

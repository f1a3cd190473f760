"""What is asked of a model on a data set, checked before the model is loaded."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from stable_audio_open.audio.writing.places import check_folder
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.evaluation.frechet.published import read_published
from stable_audio_open.evaluation.probabilities import read_probabilities
from stable_audio_open.evaluation.protocols.named import PROTOCOLS
from stable_audio_open.evaluation.protocols.protocol import (
    ALL,
    CaptionPrompt,
    Protocol,
    prompts_hash,
)
from stable_audio_open.evaluation.protocols.references import (
    check_references,
    find_references,
    refuse_missing,
)
from stable_audio_open.jobs.loading import SystemRequest
from stable_audio_open.request.given_prompts import check_texts
from stable_audio_open.request.sampling_settings import check_options

GENERATIONS, RECONSTRUCTIONS = "generations", "reconstructions"
REFERENCES, COMPARISONS = "references", "comparisons"
"""Folders within the output of a protocol."""

Part = Literal["both", "generation", "autoencoder"]


class GenerationsRequest(SystemRequest, frozen=True, kw_only=True):
    """Generations from the captions of a data set.

    Raises:
        ValueError: When a number is out of its range, or there is no such protocol or sampler.
    """

    dtype: str = "float32"
    """Number format of the weights, as `load` takes it."""
    prompts: Path
    """Table of captions, as the data set is published."""
    protocol: str
    """Name of the data set: `audiocaps` or `song-describer`."""
    output: Path
    """Folder of all that is made."""
    subset: str = ALL
    """Subset of the captions."""
    limit: int | None = None
    """The first so many captions of the subset; all where None."""
    steps: int | None = None
    """Sampling steps; the model's default where None."""
    guidance_scale: float | None = None
    """Scale of classifier-free guidance; the model's default where None."""
    sampler: str | None = None
    """Name of the sampler; the model's default where None."""
    seed: int = 0
    """Seed of the table's first caption; the others count up."""
    batch: int = 1
    """Sounds at once, in each process."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"no protocol {self.protocol!r}; allowed: {', '.join(PROTOCOLS)}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}")
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise ValueError(f"guidance scale must be a finite number, got {self.guidance_scale}")
        check_options(sampler=self.sampler, schedule=None, steps=self.steps)
        for name, value in (("batch", self.batch), ("limit", self.limit)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


class ProtocolRequest(GenerationsRequest, frozen=True, kw_only=True):
    """The paper's evaluation of a model on a data set."""

    references: Path | None = None
    """Folder of the reference recordings; None where published statistics stand for them."""
    frechet_reference: Path | None = None
    """Statistics of the references for the Frechet distance (.npz with `mu_ref`, `sigma_ref`), of
    the subset that is asked for."""
    kl_reference: Path | None = None
    """Pickle of the references' probabilities for the KL divergence; nothing in it is run."""
    allow_missing: bool = False
    """Go on without the references that are not there."""
    part: Part = "both"
    """Tables 1, 2, 5 and 6 (`generation`), tables 3, 4 and 7 (`autoencoder`), or all (`both`)."""
    players: int = 8
    """Files of each folder that can be played on the page."""
    frechet: str | None = None
    """Embedder of the Frechet distance, as the registry names it; not measured where None."""
    kl: str | None = None
    """Tagger of the KL divergence, as the registry names it; not measured where None."""
    clap: str | None = None
    """Embedder of the CLAP score, as the registry names it; not measured where None."""
    metrics_device: str = "cpu"
    """Where these networks compute."""

    def __post_init__(self) -> None:
        GenerationsRequest.__post_init__(self)
        if self.part not in get_args(Part):
            raise ValueError(f"no part {self.part!r}; allowed: {', '.join(get_args(Part))}")
        if self.players < 0:
            raise ValueError(f"players must be at least 0, got {self.players}")
        for name in ("frechet", "kl"):
            given = getattr(self, f"{name}_reference")
            if given is not None and getattr(self, name) is None:
                raise ValueError(
                    f"{given} is given as the reference of {name}, which is not measured; name its "
                    f"network as {name} too"
                )
            if self.references is None and given is None and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is compared with references; give their recordings as references, or "
                    f"published statistics as {name}_reference"
                )
        if self.references is None and self.part != "generation":
            raise ValueError(
                f"the part {self.part} compares with recordings; give the folder of references, or "
                "ask for the part generation"
            )


class Asked(NamedTuple):
    """A request with the captions and recordings that it names."""

    request: GenerationsRequest
    protocol: Protocol
    prompts: list[CaptionPrompt]
    """The whole table."""
    prompts_hash: str
    """SHA-256 of the whole table."""
    chosen: list[CaptionPrompt]
    """Those of the table that are asked for."""
    references: Mapping[str, Path]
    """File of each clip that has one; none where references are not asked for."""

    without_recordings: bool = False
    """Published statistics stand for all references."""

    @property
    def clips(self) -> list[str]:
        """Clips of the chosen captions that have a reference, each once, in order."""
        clips = dict.fromkeys(prompt.clip for prompt in self.chosen)
        return [clip for clip in clips if clip in self.references]


def check_generations(request: GenerationsRequest) -> Asked:
    """Read the captions, and check that the folder can be written.

    Raises:
        AudioSaveError: The folder cannot be made or written to.
        OSError: The table cannot be read.
        ValueError: It is not as documented, or the subset is none of this protocol or is empty.
    """
    protocol = PROTOCOLS[request.protocol]
    prompts = protocol.read(request.prompts)
    chosen = protocol.subset(request.subset, prompts)[: request.limit]
    if not chosen:
        raise ValueError(
            f"{request.prompts}: none of {len(prompts)} captions is in the subset "
            f"{request.subset}; choose another one"
        )
    check_texts([prompt.text for prompt in chosen], "prompt")
    check_folder(request.output)
    return Asked(request, protocol, prompts, prompts_hash(prompts), chosen, {})


def check_protocol(request: ProtocolRequest) -> Asked:
    """Read the captions, find their references, and check that all folders can be written.

    Raises:
        AudioFileError: A reference is damaged, or has more than two channels.
        AudioSaveError: A folder cannot be made or written to.
        OSError: The table cannot be read.
        ValueError: For the reasons of `check_generations`, references are missing, or a file of
            published statistics is none.
    """
    asked = check_generations(request)
    if request.frechet_reference is not None:
        read_published(request.frechet_reference)
    if request.kl_reference is not None:
        _check_probabilities(request.kl_reference, asked, allowed=request.allow_missing)
    if request.references is None:
        return asked._replace(without_recordings=True)
    found = find_references(request.references, asked.chosen)
    refuse_missing(request.references, asked.chosen, found, allowed=request.allow_missing)
    check_references(found)
    for name in (GENERATIONS, RECONSTRUCTIONS, REFERENCES, COMPARISONS):
        if (request.output / name).exists():
            check_folder(request.output / name)
    return asked._replace(references=found)


def _check_probabilities(path: Path, asked: Asked, *, allowed: bool) -> None:
    """Check that a file knows the captions that are asked for, by their or their clips' ids."""
    found = read_probabilities(path)
    missing = [one.id for one in asked.chosen if one.id not in found and one.clip not in found]
    if len(missing) == len(asked.chosen) or (missing and not allowed):
        raise ValueError(
            f"{path}: lacks {len(missing):,} of {len(asked.chosen):,} captions, such as "
            f"{missing[0]!r}; take the file of this data set"
            + ("" if len(missing) == len(asked.chosen) else ", or leave them out (allow missing)")
        )

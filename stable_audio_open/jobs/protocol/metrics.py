"""The metrics that `evaluate protocol` measures, with the networks that were named for them."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.embedder import Embedder, JointEmbedder
from stable_audio_open.audio_models.registry import EMBEDDERS, JOINT_EMBEDDERS, TAGGERS
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.clap import evaluate_clap, read_prompts
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.protocols.comparisons import FolderMetric, ProtocolComparison
from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.reconstruction import evaluate_decoded
from stable_audio_open.evaluation.result import UnmeasurableError, to_json

TABLE_RATE, TABLE_CHANNELS = 44_100, 2
"""Rate and channels of tables 3, 4 and 7: "all are evaluated at 44.1kHz"."""


class PublishedReferences(NamedTuple):
    """What others found of the references of a data set."""

    frechet: Path | None = None
    """Their statistics for the Frechet distance."""
    kl: Path | None = None
    """Their probabilities for the KL divergence."""
    subset: str = ALL
    """Subset of the data set that the statistics are of."""


def load_metrics(
    *,
    frechet: str | None = None,
    kl: str | None = None,
    clap: str | None = None,
    device: str = "cpu",
    published: PublishedReferences | None = None,
) -> dict[str, FolderMetric]:
    """Return the metrics by the names of their commands; a network that is not named is left out.

    Args:
        frechet: Embedder of the Frechet distance. The paper's is OpenL3, `env` for AudioCaps and
            `music` for Song Describer.
        kl: Tagger of the KL divergence. The paper's is PaSST.
        clap: Embedder of audio and text. The paper's is LAION-CLAP.
        device: Where the networks compute.
        published: What others found of the references, in place of their recordings.

    Raises:
        ValueError: There is no such network, or its weights are missing.
    """
    embedder = None if frechet is None else EMBEDDERS.load(frechet, device=device)
    tagger = None if kl is None else TAGGERS.load(kl, device=device)
    joint = None if clap is None else JOINT_EMBEDDERS.load(clap, device=device)
    return metrics_by(embedder=embedder, tagger=tagger, joint=joint, published=published)


def metrics_by(
    *,
    embedder: Embedder | None = None,
    tagger: Tagger | ClipTagger | None = None,
    joint: JointEmbedder | None = None,
    published: PublishedReferences | None = None,
) -> dict[str, FolderMetric]:
    """Return the metrics of these networks, which compute each recording once for all subsets.

    What they computed stays: vectors of all windows for the Frechet distance (80 KB for 10 s by
    OpenL3), logits of all windows for KL, one vector for CLAP.
    """
    memory = ResultCache()
    given = published or PublishedReferences()
    distances = ("stft_distance", "mel_distance", "si_sdr")
    metrics = {"reconstruction": FolderMetric(distances, partial(_reconstruction, memory))}
    if embedder is not None:
        metrics["frechet"] = FolderMetric(
            ("fd_openl3",),
            partial(_frechet, memory, embedder, given),
            needs_references=given.frechet is None,
        )
    if tagger is not None:
        metrics["kl"] = FolderMetric(
            ("kl_passt",), partial(_kl, memory, tagger, given), needs_references=given.kl is None
        )
    if joint is not None:
        metrics["clap"] = FolderMetric(
            ("clap_score",), partial(_clap, memory, joint), needs_references=False
        )
    return metrics


def _reconstruction(memory: ResultCache, made: ProtocolComparison) -> bytes:
    return to_json(
        evaluate_decoded(
            made.made,
            made.pairs,
            sample_rate=TABLE_RATE,
            channels=TABLE_CHANNELS,
            allow_missing=True,
            memory=memory,
        )
    )


def _frechet(
    memory: ResultCache,
    embedder: Embedder,
    published: PublishedReferences,
    made: ProtocolComparison,
) -> bytes:
    reference = made.references
    if published.frechet is not None and made.subset == published.subset:
        reference = published.frechet
    elif not any(made.references.iterdir()):
        raise UnmeasurableError(
            f"{published.frechet} is of the subset {published.subset}, and there are no recordings"
        )
    # The paper reports no extrapolation, and slices have too few windows for one.
    return to_json(
        evaluate_frechet(made.made, reference, embedder, paired=False, points=0, memory=memory)
    )


def _kl(
    memory: ResultCache,
    tagger: Tagger | ClipTagger,
    published: PublishedReferences,
    made: ProtocolComparison,
) -> bytes:
    reference = published.kl or made.pairs
    return to_json(
        evaluate_kl(
            made.made, reference, tagger, allow_missing=True, memory=memory, clips=made.clips
        )
    )


def _clap(memory: ResultCache, joint: JointEmbedder, made: ProtocolComparison) -> bytes:
    prompts = read_prompts(made.prompts)
    return to_json(
        evaluate_clap(made.made, prompts, joint, source=str(made.prompts), memory=memory)
    )

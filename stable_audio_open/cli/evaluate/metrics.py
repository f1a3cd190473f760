"""The metrics that `evaluate protocol` measures, with the networks that were named for them."""

from stable_audio_open.evaluation.clap import evaluate_clap, load_joint_embedder, read_prompts
from stable_audio_open.evaluation.frechet import evaluate_frechet
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.protocols.comparisons import Comparison, Metric
from stable_audio_open.evaluation.reconstruction import evaluate_decoded
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.listeners.named import load_embedder, load_tagger


def load_metrics(
    *,
    frechet: str | None = None,
    kl: str | None = None,
    clap: str | None = None,
    device: str = "cpu",
) -> dict[str, Metric]:
    """Return the metrics by the names of their commands; a network that is not named is left out.

    Args:
        frechet: Embedder of the Frechet distance. The paper's is OpenL3, `env` for AudioCaps and
            `music` for Song Describer.
        kl: Tagger of the KL divergence. The paper's is PaSST.
        clap: Embedder of audio and text. The paper's is LAION-CLAP.
        device: Where they compute.

    Raises:
        ValueError: There is no such network, or its weights are missing.
    """
    metrics = {"reconstruction": Metric(("stft_distance", "mel_distance", "si_sdr"), _decoded)}
    if frechet is not None:
        embedder = load_embedder(frechet, device=device)

        def distance(made: Comparison) -> bytes:
            # The paper reports no extrapolation, and slices have too few windows for one.
            return to_json(
                evaluate_frechet(made.made, made.references, embedder, allow_missing=True, points=0)
            )

        metrics["frechet"] = Metric(("fd_openl3",), distance)
    if kl is not None:
        tagger = load_tagger(kl, device=device)

        def divergence(made: Comparison) -> bytes:
            return to_json(evaluate_kl(made.made, made.pairs, tagger, allow_missing=True))

        metrics["kl"] = Metric(("kl_passt",), divergence)
    if clap is not None:
        joint = load_joint_embedder(clap, device=device)

        def score(made: Comparison) -> bytes:
            prompts = read_prompts(made.prompts)
            return to_json(evaluate_clap(made.made, prompts, joint, source=str(made.prompts)))

        metrics["clap"] = Metric(("clap_score",), score)
    return metrics


def _decoded(made: Comparison) -> bytes:
    return to_json(evaluate_decoded(made.made, made.pairs, allow_missing=True))

"""The metrics of table 1, of generations from the captions of a fixed set."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.embedder import Embedder, JointEmbedder
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.clap import ClapPrompt, evaluate_clap
from stable_audio_open.evaluation.fixed_set import FixedSet
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.generations.folder import SUFFIX, make_missing
from stable_audio_open.evaluation.kernel_distance.distance import evaluate_kad
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.result import Result, to_json
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion

GENERATIONS = "generations"


class Listeners(NamedTuple):
    """Networks that measure the generations; None leaves a metric out."""

    frechet: Embedder | None
    kl: Tagger | ClipTagger | None
    clap: JointEmbedder | None
    kad: Embedder | None = None


class _Generation(NamedTuple):
    """A file to make, and what of."""

    file: str
    prompt: str
    seconds: float
    seed: int
    numbers: Mapping[str, float]


class GenerationEvaluation:
    """One generation for each recording, as long as it, with the same seed at every step.

    Args:
        fixed: Recordings, whose captions are the prompts.
        metrics: Some of `frechet`, `kad`, `kl` and `clap`.
        load: Loads the networks of these metrics, in the process that measures.
        steps: Sampling steps; the model's default when None.
        guidance_scale: Scale of classifier-free guidance; the model's default when None.
        seed: Seed of the first recording, from which the others count up.
        keep_sounds: Leave the generations where they are made.
    """

    def __init__(
        self,
        fixed: FixedSet,
        *,
        metrics: Sequence[str],
        load: Callable[[], Listeners],
        steps: int | None,
        guidance_scale: float | None,
        seed: int,
        keep_sounds: bool = False,
    ) -> None:
        self.fixed = fixed
        self.metrics = metrics
        self.load = load
        self.steps = steps
        self.guidance_scale = guidance_scale
        self.seed = seed
        self.keep_sounds = keep_sounds
        self._listeners = Listeners(None, None, None)
        self._known = ResultCache()

    @property
    def names(self) -> tuple[str, ...]:
        """What `values` finds."""
        return (*self.metrics, "silent")

    def prepare(self) -> None:
        """Write the recordings anew, load the networks and measure the recordings once.

        Raises:
            ValueError: They cannot be compared, such as by a covariance of one window.
        """
        self._listeners, self._known = self.load(), ResultCache()
        self.fixed.write()
        self._results(self.fixed.folder, self._known)

    def share(self, model: nn.Module, folder: Path, *, rank: int, processes: int) -> None:
        """Generate what falls to this process, into `folder/generations`."""
        assert isinstance(model, LatentDiffusion)
        made = folder / GENERATIONS
        made.mkdir(parents=True, exist_ok=True)
        wanted = [
            _Generation(
                file=f"{recording.id}{SUFFIX}",
                prompt=recording.caption,
                seconds=audio_info(self.fixed.file(recording)).duration,
                seed=(self.seed + place) % (MAX_SEED + 1),
                numbers=recording.numbers,
            )
            for place, recording in enumerate(self.fixed.recordings)
        ]
        # What lies there is of other weights: of a run that was taken up before this step.
        for one in wanted[rank::processes]:
            (made / one.file).unlink(missing_ok=True)

        def make(batch: Sequence[_Generation]) -> Audio:
            [one] = batch
            return generate(
                model,
                one.prompt,
                duration=min(one.seconds, model.window_seconds),
                conditions=one.numbers,
                steps=self.steps,
                guidance_scale=self.guidance_scale,
                seed=one.seed,
                progress=False,
            )

        make_missing(
            made, wanted, make, batch=1, rank=rank, processes=processes, level=logging.DEBUG
        )

    def values(self, model: nn.Module, folder: Path) -> dict[str, float]:
        """Compare all generations with the recordings, and keep the results."""
        del model
        made = folder / GENERATIONS
        # What is computed of the generations is of no use again.
        results = self._results(made, self._known.copy())
        if not self.keep_sounds:
            shutil.rmtree(made, ignore_errors=True)
        for name, (result, _) in results.items():
            replace_bytes(folder / f"{name}.json", to_json(result))
        found = {name: value for name, (_, value) in results.items()}
        # All of them count the silent ones.
        [(result, _), *_] = results.values()
        return found | {"silent": len(result.silent) / len(self.fixed.recordings)}

    def _results(self, made: Path, known: ResultCache) -> dict[str, tuple[Result, float]]:
        """Return each result, and the figure in it."""
        results: dict[str, tuple[Result, float]] = {}
        embedder, tagger, joint, kernel = self._listeners
        references = self.fixed.folder
        if embedder is not None:
            # Few recordings: an extrapolation to infinitely many would say nothing.
            frechet = evaluate_frechet(made, references, embedder, points=0, memory=known)
            results["frechet"] = frechet, frechet.distance
        if kernel is not None:
            kad = evaluate_kad(made, references, kernel, seed=self.seed, memory=known)
            results["kad"] = kad, kad.kernel_distance.value
        if tagger is not None:
            kl = evaluate_kl(made, references, tagger, memory=known)
            results["kl"] = kl, kl.divergence
        if joint is not None:
            prompts = [ClapPrompt(id=one.id, prompt=one.caption) for one in self.fixed.recordings]
            clap = evaluate_clap(
                made, prompts, joint, source="captions", seed=self.seed, memory=known
            )
            results["clap"] = clap, clap.score
        return results

"""A study of memorisation with a model from disk: load, generate, compare, write (section 5.3)."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.paths import SUFFIXES, audio_files
from stable_audio_open.audio.writing.places import check_folder
from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.checkpoint.lora.adapter import adapter_names
from stable_audio_open.data.manifest import Recording
from stable_audio_open.data.recordings import read_recordings
from stable_audio_open.evaluation.generations.prompted import PromptedSettings
from stable_audio_open.evaluation.memorisation.page import memorisation_page
from stable_audio_open.evaluation.memorisation.result import Memorisation, StudySettings
from stable_audio_open.evaluation.memorisation.sets import RecordingSet
from stable_audio_open.evaluation.memorisation.study import (
    Generator,
    Progress,
    study_memorisation,
    unseen_progress,
)
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.names import shortened_name
from stable_audio_open.jobs.loading import ModelRequest
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.prompts import draw_prompt, is_described
from stable_audio_open.settings import CANDIDATES, RANDOM_RECORDINGS, SAMPLING, Objective

LONGEST_CHUNK = 10.0
"""Seconds that are compared at once where the request does not say and the window is longer."""


class MemorisationRequest(ModelRequest, frozen=True, kw_only=True):
    """The model, its training set, and what is generated and compared.

    Raises:
        ValueError: When a number is out of its range.
    """

    dtype: str = "float32"
    """Number format of the weights, as `load` takes it."""
    data: Path
    """Folder of the training set."""
    manifest: str = "manifest.jsonl"
    """Manifest, or index.json of shards, within the folder."""
    output: Path
    """Folder for sounds, embeddings, result and page."""
    embedder: str
    """Network in whose space sounds are compared, as the registry names it."""
    held_out: Path | None = None
    """Manifest of recordings that were not trained on, to compare; their files lie beside it."""
    given: Path | None = None
    """Folder of other sounds of the model, such as outstanding ones."""
    reconstructions: bool = False
    """Compare what the autoencoder makes of the random recordings: an exact copy."""
    threshold: float | None = None
    """Least cosine of repeated training data; None finds recordings of the same samples alone."""
    repeated: int | None = None
    """Repeated recordings that give prompts; None is all."""
    random: int = RANDOM_RECORDINGS
    """Random training recordings that give prompts."""
    per_prompt: int = 1
    """Sounds for each of these recordings."""
    top: int = CANDIDATES
    """Candidates to listen to, of each origin."""
    chunk: float | None = None
    """Seconds that are compared at once; None is the model's window, at most 10."""
    prompts: str = "caption"
    """`caption`, or `metadata` for prompts drawn as in section 3.2."""
    duration: float | None = None
    """Seconds of sound; None is those of the recording."""
    steps: int | None = None
    """Sampling steps; the model's default where None."""
    guidance_scale: float | None = None
    """Scale of classifier-free guidance; the model's default where None."""
    seed: int = 0
    """Seed of all prompts and sounds."""
    batch: int = 8
    """Sounds at once."""
    lora: tuple[tuple[str, float], ...] = ()
    """Folders of adapters, and how much of each is merged."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")
        self.study(LONGEST_CHUNK)
        self.generation("v")

    def study(self, window: float) -> StudySettings:
        """Return what is compared of a model with a window of so many seconds."""
        return StudySettings(
            threshold=self.threshold,
            repeated=self.repeated,
            random=self.random,
            per_prompt=self.per_prompt,
            top=self.top,
            chunk=min(LONGEST_CHUNK, window) if self.chunk is None else self.chunk,
        )

    def generation(self, objective: Objective, weights: str | None = None) -> PromptedSettings:
        """Return what the sounds of a model have in common.

        Args:
            objective: The model's, on which defaults depend.
            weights: Hash of its weights.
        """
        own = SAMPLING[objective]
        return PromptedSettings(
            model=self.model,
            lora=adapter_names(self.lora),
            weights=weights,
            prompts=self.prompts,
            seed=self.seed,
            steps=own.steps if self.steps is None else self.steps,
            guidance=own.guidance_scale if self.guidance_scale is None else self.guidance_scale,
            duration=self.duration,
        )


class MemorisationFiles(NamedTuple):
    """What a study found, and where it is written."""

    result: Memorisation
    json: Path
    """The result."""
    page: Path
    """HTML with the candidates to listen to."""


def run_memorisation(
    request: MemorisationRequest, *, progress: Progress = unseen_progress
) -> MemorisationFiles:
    """Generate with prompts of the training set, and rank what is nearest to it.

    An interrupted run goes on where it stopped; another embedder takes the same sounds.

    Args:
        request: The model and what it is asked for.
        progress: Shows how many of the sounds are there.

    Raises:
        OSError: A manifest cannot be read.
        ValueError: The model or the embedder cannot be loaded, or for the reasons of
            `study_memorisation`.
    """
    recordings = {one.file: one for one in read_recordings(request.data, request.manifest)}
    held_out = _held_out(request.held_out)
    given = None if request.given is None else RecordingSet(request.given, _sounds(request.given))
    check_folder(request.output)
    embedder = EMBEDDERS.load(request.embedder, device=request.device or "cpu")
    model = StableAudio.from_pretrained(
        request.model,
        device=request.device,
        dtype=request.dtype,
        text_encoder=request.text_encoder,
        lora=request.lora,
    )
    request.output.mkdir(exist_ok=True)
    result = study_memorisation(
        RecordingSet(request.data, {file: one.caption for file, one in recordings.items()}),
        request.output,
        embedder=embedder,
        generator=_generator(request, model, recordings, progress),
        settings=request.study(model.window_seconds),
        held_out=held_out,
        given=given,
    )
    return _write(result, request)


def _held_out(manifest: Path | None) -> RecordingSet | None:
    if manifest is None:
        return None
    lines = read_recordings(manifest.parent, manifest.name)
    return RecordingSet(manifest.parent, {one.file: one.caption for one in lines})


def _sounds(folder: Path) -> dict[str, str]:
    """Return the audio files of a folder; their names stand for their prompts."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give one with sounds of the model")
    found = sorted(audio_files(folder))
    if not found:
        raise ValueError(f"{folder}: holds no sounds ({', '.join(SUFFIXES)}); add some")
    return {path.relative_to(folder).as_posix(): path.stem for path in found}


def _generator(
    request: MemorisationRequest,
    model: StableAudio,
    recordings: Mapping[str, Recording],
    progress: Progress,
) -> Generator:
    """Return the model as the study asks it: for sounds, prompts and reconstructions."""

    def generate(texts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        return model.generate(
            texts,
            duration=seconds,
            seed=seeds,
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            progress=False,
        )

    def reconstruct(path: Path) -> Audio:
        autoencoder = model.autoencoder
        audio = read_audio(
            path,
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
            duration=model.window_seconds,
        )
        return Audio(autoencoder.reconstruct(audio.samples), autoencoder.sample_rate)

    return Generator(
        generate=generate,
        prompt=partial(_prompt, recordings, prompts=request.prompts, seed=request.seed),
        window=model.window_seconds,
        settings=request.generation(model.objective, module_hash(model)),
        reconstruct=reconstruct if request.reconstructions else None,
        batch=request.batch,
        progress=progress,
    )


def _prompt(
    recordings: Mapping[str, Recording], file: str, copy: int, *, prompts: str, seed: int
) -> str:
    """Return the prompt of a training recording for its `copy`-th sound."""
    recording = recordings[file]
    if prompts == "metadata" and is_described(recording):
        return draw_prompt(recording, Random(f"{seed} {copy} {file}"))
    return recording.caption


def _write(result: Memorisation, request: MemorisationRequest) -> MemorisationFiles:
    """Write result and page under the name of the embedder."""
    name = _result_name(request.embedder, result.checkpoint_hash)
    json, page = (request.output / f"{name}{suffix}" for suffix in (".json", ".html"))
    replace_bytes(json, to_json(result))
    replace_bytes(page, memorisation_page(result).encode())
    return MemorisationFiles(result, json, page)


def _result_name(embedder: str, checkpoint_hash: str | None) -> str:
    """Return a name that no other embedder has, whatever its checkpoint is called."""
    kind, _, weights = embedder.partition(":")
    if not weights:
        return f"memorisation-{kind}"
    readable = shortened_name(re.sub(r"[^\w.-]+", "-", Path(weights).resolve().name))
    return f"memorisation-{kind}-{readable}-{(checkpoint_hash or '')[:8]}"

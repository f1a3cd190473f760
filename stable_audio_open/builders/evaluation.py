"""Evaluation during training, from its configuration."""

import hashlib
import logging
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import torch

from stable_audio_open.audio_models.registry import EMBEDDERS, JOINT_EMBEDDERS, TAGGERS, Role
from stable_audio_open.builders.run import AutoencoderRun, DiffusionRun, TrainingRun
from stable_audio_open.conditions import SECONDS
from stable_audio_open.config.data import FolderConfig, ShardsConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.evaluation import (
    GenerationEvaluationConfig,
    ReconstructionEvaluationConfig,
)
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.data.manifest import check_numbers, numbers_of
from stable_audio_open.evaluation.fixed_set import (
    FixedRecording,
    FixedSet,
    check_fixed_set,
    fixed_set_hash,
)
from stable_audio_open.manifest import INDEX
from stable_audio_open.settings import SAMPLING
from stable_audio_open.training.callbacks.early_stopping import EarlyStopping
from stable_audio_open.training.callbacks.evaluated.evaluations import Evaluation, Evaluations
from stable_audio_open.training.callbacks.evaluated.generations import (
    GenerationEvaluation,
    Listeners,
)
from stable_audio_open.training.callbacks.evaluated.reconstructions import ReconstructionEvaluation
from stable_audio_open.training.callbacks.measurements import Measurements

logger = logging.getLogger(__name__)

Listener = TypeVar("Listener")
FOLDER, FIXED_SET = "evaluation", "fixed_set"


def early_stopping(trainer: TrainerConfig, measurements: Measurements) -> EarlyStopping | None:
    """Return what ends the run when it gets no better, if that is wanted."""
    wanted = trainer.early_stopping
    if wanted is None:
        return None
    return EarlyStopping(
        measurements,
        metric=wanted.metric,
        patience=wanted.patience,
        least_change=wanted.least_change,
    )


def measured(run: TrainingRun) -> dict[str, str]:
    """Return what a run measures and how, of each kind.

    Each is some words and a hash, the same for what can be compared.

    Raises:
        AudioFileError: A recording of the fixed set cannot be read.
        ValueError: A manifest is not as it should be.
    """
    found = {}
    if run.data.validation is not None:
        listing = Path(run.data.path) / run.data.validation
        if isinstance(run.data, ShardsConfig):
            listing = Path(run.data.validation) / INDEX
        digest = _hash(_how_validated(run), listing.read_bytes())
        found["validation"] = f"{listing} ({digest})"
    wanted = run.training.evaluation
    if wanted is not None:
        recordings = _fixed_set(run, wanted)
        how = _how_evaluated(wanted, run.config)
        digest = _hash(how, fixed_set_hash(recordings).encode())
        words = _words(wanted, len(recordings), run.config)
        found["evaluation"] = f"{words} ({digest})"
    return found


def _how_validated(run: TrainingRun) -> bytes:
    """Return what the losses of a validation depend on besides the recordings."""
    if isinstance(run, AutoencoderRun):
        loss = msgspec.json.encode(run.training.loss)
        return loss if run.data.loudness is None else loss + str(run.data.loudness).encode()
    # Of means, and of v, it is what it was before there was anything else.
    latents = None if run.training.latents == "means" else run.training.latents
    assert isinstance(run, DiffusionRun)
    flow = b"" if run.config.objective == "v" else b"flow"
    return msgspec.json.encode(latents) + flow


def _how_evaluated(
    wanted: GenerationEvaluationConfig | ReconstructionEvaluationConfig, config: ModelConfig
) -> bytes:
    """Return what the values of an evaluation depend on besides the recordings."""
    how = msgspec.structs.replace(wanted, every=1, at_start=False)
    if isinstance(how, GenerationEvaluationConfig):
        how = msgspec.structs.replace(
            _spelt_out(how, config), listen_on_cpu=False, keep_sounds=False
        )
    settings = msgspec.to_builtins(how)
    # Without the kernel distance, it is what it was before there was one.
    if settings.get("kad", "") is None:
        del settings["kad"]
    return msgspec.json.encode(settings)


def evaluations(
    run: TrainingRun, measurements: Measurements, device: torch.device
) -> Evaluations | None:
    """Return what evaluates during the run, if that is wanted.

    Args:
        run: The training.
        measurements: What the run measures.
        device: Where the networks compute, unless they are to stay on the CPU.

    Raises:
        AudioFileError: A recording of the fixed set cannot be read.
        ConfigError: The run goes by a value that is not measured.
        ValueError: The manifest is not as it should be, all recordings of the fixed set are silent,
            or the weights of a network are missing.
    """
    config, wanted = run.config, run.training.evaluation
    if wanted is None:
        return None
    recordings = _fixed_set(run, wanted)
    _warn_of_trained(run, recordings)
    place = run.folder / FOLDER
    fixed = partial(
        FixedSet,
        recordings=recordings,
        folder=place / FIXED_SET,
        sample_rate=config.sample_rate,
        channels=config.audio_channels,
    )
    evaluation: Evaluation
    match config, wanted:
        case DiffusionModelConfig(), GenerationEvaluationConfig():
            window = config.window_samples / config.sample_rate
            fixed_set = fixed(seconds=min(wanted.seconds or window, window))
            evaluation = _generations(wanted, fixed_set, device)
        case AutoencoderModelConfig(), ReconstructionEvaluationConfig():
            fixed_set = fixed(seconds=wanted.seconds)
            evaluation = ReconstructionEvaluation(fixed_set)
        case _:
            raise AssertionError(f"{type(wanted).__name__} does not fit {type(config).__name__}")
    _check_names(run, evaluation)
    fixed_set.check()
    return Evaluations(
        evaluation,
        measurements,
        folder=place,
        every=wanted.every,
        at_start=wanted.at_start,
    )


def _generations(
    wanted: GenerationEvaluationConfig, fixed: FixedSet, device: torch.device
) -> GenerationEvaluation:
    load_listeners(wanted, torch.device("cpu"))  # what is missing is said now; one process measures
    return GenerationEvaluation(
        fixed,
        metrics=list(_named(wanted)),
        load=partial(load_listeners, wanted, device),
        steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        seed=wanted.seed,
        keep_sounds=wanted.keep_sounds,
    )


def _named(wanted: GenerationEvaluationConfig) -> dict[str, str]:
    """Return the network of each metric that is taken."""
    every = ((metric, getattr(wanted, metric)) for metric in ("frechet", "kad", "kl", "clap"))
    return {metric: name for metric, name in every if name is not None}


def load_listeners(wanted: GenerationEvaluationConfig, device: torch.device) -> Listeners:
    """Load the networks that are named; the training's random numbers stay as they are.

    Raises:
        ValueError: There is no such network, or its weights are missing.
    """
    where = "cpu" if wanted.listen_on_cpu else str(device)
    with torch.random.fork_rng(devices=[]):  # weights are drawn before theirs are loaded
        return Listeners(
            frechet=_load(EMBEDDERS, "frechet", wanted.frechet, where),
            kad=_load(EMBEDDERS, "kad", wanted.kad, where),
            kl=_load(TAGGERS, "kl", wanted.kl, where),
            clap=_load(JOINT_EMBEDDERS, "clap", wanted.clap, where),
        )


def _load(role: Role[Listener], field: str, name: str | None, device: str) -> Listener | None:
    try:
        return None if name is None else role.load(name, device=device)
    except ValueError as error:
        raise ValueError(f"training.evaluation.{field}: {error}") from error


def _check_names(run: TrainingRun, evaluation: Evaluation) -> None:
    """Refuse to go by a value of the evaluation that it does not find."""
    for field, name in going_by(run.trainer).items():
        kind, _, value = name.partition("/")
        if kind == "evaluation" and value not in evaluation.names:
            names = ", ".join(f"evaluation/{known}" for known in evaluation.names)
            raise ConfigError(
                f"{run.config.name}: `training.trainer.{field}` is {name!r}, which "
                f"`training.evaluation` does not find; allowed: {names}"
            )


def going_by(trainer: TrainerConfig) -> dict[str, str]:
    """Return the measured values that a run goes by, by their fields."""
    found = {}
    if trainer.checkpoint.best is not None:
        found["checkpoint.best"] = trainer.checkpoint.best
    if trainer.early_stopping is not None:
        found["early_stopping.metric"] = trainer.early_stopping.metric
    return found


def _words(
    wanted: GenerationEvaluationConfig | ReconstructionEvaluationConfig,
    recordings: int,
    config: ModelConfig,
) -> str:
    """Say what is measured, as a reader of curves wants to know."""
    listing = Path(wanted.path) / wanted.manifest
    if isinstance(wanted, ReconstructionEvaluationConfig):
        return f"{recordings} recordings of {listing}, at most {wanted.seconds:g} s of each"
    wanted = _spelt_out(wanted, config)
    listeners = ", ".join(f"{metric} by {name}" for metric, name in _named(wanted).items())
    return (
        f"{recordings} captions of {listing}; {listeners}; {wanted.steps} steps, guidance scale "
        f"{wanted.guidance_scale:g}, seed {wanted.seed}"
    )


def _spelt_out(
    wanted: GenerationEvaluationConfig, config: ModelConfig
) -> GenerationEvaluationConfig:
    """Return what is wanted with the model's defaults."""
    assert isinstance(config, DiffusionModelConfig)
    own = SAMPLING[config.objective]
    return msgspec.structs.replace(
        wanted,
        steps=own.steps if wanted.steps is None else wanted.steps,
        guidance_scale=(
            own.guidance_scale if wanted.guidance_scale is None else wanted.guidance_scale
        ),
    )


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def _fixed_set(
    run: TrainingRun,
    wanted: GenerationEvaluationConfig | ReconstructionEvaluationConfig,
) -> list[FixedRecording]:
    folder = Path(wanted.path)
    listed = run.manifests.read(folder, wanted.manifest)[: wanted.count]
    numbers: list[str] = []
    if isinstance(run.config, DiffusionModelConfig):
        numbers = [name for name in run.config.conditioning.numbers if name not in SECONDS]
        check_numbers(listed, numbers)
    recordings = [
        FixedRecording(
            path=folder / one.file, caption=one.caption, numbers=numbers_of(one, numbers)
        )
        for one in listed
    ]
    check_fixed_set(recordings, source=str(folder / wanted.manifest))
    return recordings


def _warn_of_trained(run: TrainingRun, recordings: list[FixedRecording]) -> None:
    """Tell where the model could learn by heart what it is judged by (shards do not tell)."""
    if not isinstance(run.data, FolderConfig):
        return
    folder = Path(run.data.path)
    listed = run.manifests.read(folder, run.data.manifest)
    trained = {(folder / one.file).resolve() for one in listed}
    both = sum(one.path.resolve() in trained for one in recordings)
    if both:
        logger.warning(
            "%d of the %d recordings of training.evaluation are trained on too: what is learnt by "
            "heart looks good; name a manifest of others to judge what is new",
            both,
            len(recordings),
        )

"""Evaluation during training, from its configuration."""

import logging
from pathlib import Path

import torch

from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.evaluation import (
    GenerationEvaluationConfig,
    ReconstructionEvaluationConfig,
)
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig, ModelConfig
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.data.recordings import read_recordings
from stable_audio_open.evaluation.clap import load_joint_embedder
from stable_audio_open.evaluation.fixed_set import FixedRecording, check_fixed_set
from stable_audio_open.listeners.named import load_embedder, load_tagger
from stable_audio_open.training.early_stopping import EarlyStopping
from stable_audio_open.training.evaluated_generations import GenerationEvaluation
from stable_audio_open.training.evaluated_reconstructions import ReconstructionEvaluation
from stable_audio_open.training.evaluations import Evaluation, Evaluations
from stable_audio_open.training.measurements import Measurements
from stable_audio_open.training.trainer import Callback

logger = logging.getLogger(__name__)

FOLDER, FIXED_SET = "evaluation", "fixed_set"


def early_stopping(trainer: TrainerConfig, measurements: Measurements) -> list[Callback]:
    """Return the callback that ends the run when it gets no better, if one is wanted."""
    wanted = trainer.early_stopping
    if wanted is None:
        return []
    return [
        EarlyStopping(
            measurements,
            metric=wanted.metric,
            patience=wanted.patience,
            least_change=wanted.least_change,
        )
    ]


def evaluations(
    config: ModelConfig, folder: Path, measurements: Measurements, device: torch.device
) -> list[Callback]:
    """Return the callback that evaluates, if one is wanted.

    Args:
        config: With `training`.
        folder: Of the run.
        measurements: Of the run.
        device: Where the listeners compute, unless they are to stay on the CPU.

    Raises:
        AudioFileError: A recording of the fixed set cannot be read.
        ValueError: The manifest is not as it should be, or a listener's weights are missing.
    """
    training = config.training
    assert training is not None
    wanted = training.evaluation
    if wanted is None:
        return []
    recordings = _fixed_set(config, wanted)
    place = folder / FOLDER
    evaluation: Evaluation
    match config, wanted:
        case DiffusionModelConfig(), GenerationEvaluationConfig():
            with torch.random.fork_rng():  # networks draw weights before theirs are loaded
                evaluation = _generations(config, wanted, recordings, place / FIXED_SET, device)
        case AutoencoderModelConfig(), ReconstructionEvaluationConfig():
            evaluation = ReconstructionEvaluation(
                recordings,
                folder=place / FIXED_SET,
                seconds=wanted.seconds,
                sample_rate=config.sample_rate,
                channels=config.audio_channels,
            )
        case _:
            raise AssertionError(f"{type(wanted).__name__} does not fit {type(config).__name__}")
    return [
        Evaluations(
            evaluation,
            measurements,
            folder=place,
            every=wanted.every,
            at_start=wanted.at_start,
        )
    ]


def _generations(
    config: DiffusionModelConfig,
    wanted: GenerationEvaluationConfig,
    recordings: list[FixedRecording],
    folder: Path,
    device: torch.device,
) -> GenerationEvaluation:
    window = config.window_samples / config.sample_rate
    where = "cpu" if wanted.listen_on_cpu else str(device)
    return GenerationEvaluation(
        recordings,
        folder=folder,
        seconds=window if wanted.seconds is None else min(wanted.seconds, window),
        sample_rate=config.sample_rate,
        channels=config.audio_channels,
        embedder=None if wanted.frechet is None else load_embedder(wanted.frechet, device=where),
        tagger=None if wanted.kl is None else load_tagger(wanted.kl, device=where),
        joint=None if wanted.clap is None else load_joint_embedder(wanted.clap, device=where),
        steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        seed=wanted.seed,
    )


def _fixed_set(
    config: ModelConfig, wanted: GenerationEvaluationConfig | ReconstructionEvaluationConfig
) -> list[FixedRecording]:
    folder = Path(wanted.path)
    listed = read_recordings(folder, wanted.manifest)[: wanted.count]
    recordings = [FixedRecording(path=folder / one.file, caption=one.caption) for one in listed]
    check_fixed_set(recordings, source=str(folder / wanted.manifest))
    _warn_of_trained(config, recordings)
    return recordings


def _warn_of_trained(config: ModelConfig, recordings: list[FixedRecording]) -> None:
    """Tell where the model could learn by heart what it is judged by."""
    if not isinstance(config.data, FolderConfig):
        return
    folder = Path(config.data.path)
    listed = read_recordings(folder, config.data.manifest)
    trained = {(folder / one.file).resolve() for one in listed}
    both = sum(one.path.resolve() in trained for one in recordings)
    if both:
        logger.warning(
            "%d of the %d recordings of training.evaluation are trained on too: what is learnt by "
            "heart looks good; name a manifest of others to judge what is new",
            both,
            len(recordings),
        )

"""A training run from start to last checkpoint."""

import logging
import os
from pathlib import Path

import torch

from stable_audio_open.builders.data import autoencoder_data, diffusion_data, new_faults
from stable_audio_open.builders.evaluation import (
    early_stopping,
    evaluations,
    going_by,
    measured,
)
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import AutoencoderRun, DiffusionRun, TrainingRun, training_run
from stable_audio_open.builders.training import (
    autoencoder_task,
    demo_writer,
    diffusion_task,
    new_autoencoder,
    trainer_settings,
)
from stable_audio_open.checkpoint.source import training_header
from stable_audio_open.checkpoint.tensors import read_header
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import decode_config, model_part
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.training.autoencoder import AutoencoderTraining
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.diffusion import DiffusionTraining
from stable_audio_open.training.trainer import train
from stable_audio_open.training.whole_checkpoint import check_numbers, first_whole

logger = logging.getLogger(__name__)

LAST = Path("checkpoints", "last.ckpt")
"""Checkpoint of a run to go on from, in its folder."""


def run_training(config: ModelConfig, *, resume: str = "auto") -> Path:
    """Train what a configuration describes, to its last step.

    Args:
        config: Configuration with `data` and `training`.
        resume: `auto` goes on from the run's last checkpoint if there is one (from the one before
            where that is damaged), `none` starts anew
            (and refuses a folder that holds a checkpoint), anything else is a checkpoint.

    Returns:
        The last checkpoint.

    Raises:
        ConfigError: When `data`, `training`, its trainer or the autoencoder is missing.
        ValueError: When the checkpoint to resume from does not exist, or would be overwritten.
    """
    run = training_run(config)
    _check_measured(run)
    start = _checkpoint(run, resume)
    if start is not None:
        _check_resumable(config, start)
        logger.info("resuming from %s", start)
    torch.manual_seed(run.training.seed)
    faults = new_faults(run)
    measurements = Measurements(run.folder, measured(run))
    device = _device(run.trainer)
    evaluated = evaluations(run, measurements, device)
    task: AutoencoderTraining | DiffusionTraining
    match run:
        case AutoencoderRun():
            model = new_autoencoder(run.config, run.training)
            task = autoencoder_task(run.config, run.training, model)
            batches = autoencoder_data(run, faults)
        case DiffusionRun():
            system = initial_model(run.config, run.training)
            batches = diffusion_data(run, system.autoencoder.to(device), faults)
            task = diffusion_task(run.config, run.training, system)
    if start is not None:
        check_numbers(task, start)
    if run.trainer.compile:
        task.compile_networks()
    train(
        task,
        batches,
        settings=trainer_settings(run),
        measurements=measurements,
        faults=faults,
        early_stopping=early_stopping(run.trainer, measurements),
        evaluations=evaluated,
        demos=demo_writer(run),
        start=start,
    )
    return run.folder / LAST


def _check_measured(run: TrainingRun) -> None:
    """Check that what the run goes by is measured."""
    for field, name in going_by(run.trainer).items():
        where = f"{run.config.name}: `training.trainer.{field}`"
        if name.startswith("validation/") and run.data.validation is None:
            raise ConfigError(
                f"{where} is taken at validations; give a manifest of recordings for them as "
                "`data.validation`"
            )
        if name.startswith("evaluation/") and run.training.evaluation is None:
            raise ConfigError(
                f"{where} is taken at evaluations; describe them as `training.evaluation`"
            )


def _checkpoint(run: TrainingRun, resume: str) -> Path | None:
    last = run.folder / LAST
    match resume:
        case "auto":
            return first_whole(_newest_first(last))
        case "none":
            for kept in filter(Path.is_file, (last, last.with_name("best.ckpt"))):
                raise ValueError(
                    f"{kept} exists and would be overwritten; resume with --resume auto, or choose "
                    "another training.trainer.name"
                )
            return None
        case _:
            if not Path(resume).is_file():
                raise ValueError(f"{resume}: there is no such checkpoint to resume from")
            return first_whole([Path(resume)])


def _newest_first(last: Path) -> list[Path]:
    """Return the last checkpoint of a run, and those of lower steps beside it."""
    if not last.is_file():
        return []
    others = sorted(last.parent.glob("[0-9]*.ckpt"), reverse=True)
    same = [path for path in others if path.samefile(last)]
    return [last, *(path for path in others if not same or path < same[0])]


def _check_resumable(config: ModelConfig, checkpoint: Path) -> None:
    """Refuse a checkpoint of another model than the configuration's."""
    header = training_header(read_header(checkpoint), checkpoint)
    if header is None:
        raise ValueError(
            f"{checkpoint}: not a checkpoint of this library's training; start from its weights "
            "with training.initialize or training.autoencoder instead"
        )
    theirs, ours = decode_config(header.config, source=str(checkpoint)), model_part(config)
    if theirs == ours:
        return
    differing = [
        name
        for name in ours.__struct_fields__
        if getattr(ours, name) != getattr(theirs, name, None)
    ]
    raise ConfigError(
        f"{checkpoint}: was trained with another configuration; it differs in "
        f"{', '.join(differing) or 'its type'}; change these back, or start another run with "
        "training.trainer.name"
    )


def _device(trainer: TrainerConfig) -> torch.device:
    """Return where the recordings are encoded: where the training will be."""
    if trainer.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # As torchrun and Lightning number the processes of a machine, or SLURM.
    number = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    return torch.device("cuda", int(number) % torch.cuda.device_count())

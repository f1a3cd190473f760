"""A training run from start to last checkpoint."""

import logging
import os
from pathlib import Path

import torch

from stable_audio_open.builders.data import (
    autoencoder_data,
    diffusion_data,
    listed_recordings,
    new_faults,
)
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
from stable_audio_open.checkpoint.weights.tensors import read_header
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import decode_config, model_part
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.files.lock import locked_folder
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.checkpoints.run_line import BEST, FOLDER, LAST, run_line
from stable_audio_open.training.checkpoints.whole_checkpoint import check_numbers, first_whole
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining
from stable_audio_open.training.tasks.diffusion import DiffusionTraining
from stable_audio_open.training.trainer import train

logger = logging.getLogger(__name__)


def run_training(config: ModelConfig, *, resume: str = "auto") -> Path:
    """Train what a configuration describes, to its last step.

    Args:
        config: Configuration with `data` and `training`.
        resume: `auto` goes on from the highest step of the run's checkpoints if there are any (from
            the one before where that is damaged), `none` starts anew (and refuses a folder that
            holds a checkpoint), anything else is a checkpoint; the run's others that are not of its
            line are put aside.

    Returns:
        The last checkpoint, which is not there where a signal ended the run before its first step.

    Raises:
        ConfigError: When `data`, `training`, its trainer or the autoencoder is missing.
        FolderInUseError: When another process trains in the run's folder.
        ValueError: When the checkpoint to resume from does not exist, or would be overwritten.
        ChildProcessError: When a data worker was killed.
    """
    run = training_run(config)
    _check_measured(run)
    _check_devices(run)
    if not _is_first():
        return _train(run, resume)
    remedy = "wait until it ends, or choose another training.trainer.name"
    with locked_folder(run.folder, remedy=remedy):
        return _train(run, resume)


def _train(run: TrainingRun, resume: str) -> Path:
    start = _checkpoint(run, resume)
    if start is not None:
        _check_resumable(run.config, start)
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
        listed=listed_recordings(run, batches),
        early_stopping=early_stopping(run.trainer, measurements),
        evaluations=evaluated,
        demos=demo_writer(run),
        start=start,
    )
    return run.folder / FOLDER / LAST


def _is_first() -> bool:
    """Say whether this is the first process of the run, as what started it counts."""
    started = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    names = (*started, "JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
    return all(os.environ.get(name, "0") == "0" for name in names)


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


def _check_devices(run: TrainingRun) -> None:
    """Check that the GPUs that are asked for are there, before anything is read or encoded."""
    trainer = run.trainer
    if trainer.accelerator != "gpu" or torch.backends.mps.is_available():
        return
    there = torch.cuda.device_count()
    wanted = 1 if trainer.devices == "auto" else trainer.devices
    if there < wanted:
        raise ConfigError(
            f"{run.config.name}: `training.trainer.accelerator` is gpu, of which {wanted} must be "
            f"here, and PyTorch finds {there}; give `auto` or `cpu`, or fewer `devices`"
        )


def _checkpoint(run: TrainingRun, resume: str) -> Path | None:
    folder = run.folder / FOLDER
    match resume:
        case "auto":
            return first_whole([kept.path for kept in run_line(folder)])
        case "none":
            named = (folder / LAST, folder / BEST)
            known = [*filter(Path.is_file, named), *(kept.path for kept in run_line(folder))]
            for kept in known[:1]:
                raise ValueError(
                    f"{kept} exists and would be overwritten; resume with --resume auto, or choose "
                    "another training.trainer.name"
                )
            return None
        case _:
            if not Path(resume).is_file():
                raise ValueError(f"{resume}: there is no such checkpoint to resume from")
            return first_whole([Path(resume)])


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

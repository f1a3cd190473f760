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
from stable_audio_open.builders.training import (
    autoencoder_task,
    build_trainer,
    demo_writer,
    diffusion_task,
    item_seconds,
    new_autoencoder,
    run_folder,
)
from stable_audio_open.checkpoint.source import HEADER
from stable_audio_open.checkpoint.tensors import read_header
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.read import decode_config, model_part
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.training.autoencoder import AutoencoderTraining
from stable_audio_open.training.callbacks.faults import UnreadableRecordings
from stable_audio_open.training.callbacks.finite import SkipNonFinite
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.throughput import Throughput
from stable_audio_open.training.callbacks.without_gradient import ParametersWithoutGradient
from stable_audio_open.training.diffusion import DiffusionTraining
from stable_audio_open.training.levels import TrainingLevel
from stable_audio_open.training.trainer import Callback, fit

logger = logging.getLogger(__name__)


def run_training(config: ModelConfig, *, resume: str = "auto") -> Path:
    """Train what a configuration describes, to its last step.

    Args:
        config: With `data` and `training`.
        resume: `auto` goes on from the run's last checkpoint if there is one, `none` starts anew
            (and refuses a folder that holds a checkpoint), anything else is a checkpoint.

    Returns:
        The last checkpoint.

    Raises:
        ConfigError: When `data`, `training`, its trainer or the autoencoder is missing.
        ValueError: When the checkpoint to resume from does not exist, or would be overwritten.
    """
    if config.data is None or config.training is None:
        missing = "data" if config.data is None else "training"
        raise ConfigError(f"{config.name}: `{missing}` is missing; training needs this section")
    trainer = config.training.trainer
    if trainer is None:
        raise ConfigError(
            f"{config.name}: `training.trainer` is missing; it says how long to train"
        )
    _check_measured(config, trainer)
    start = _checkpoint(config, trainer, resume)
    if start is not None:
        _check_resumable(config, start)
        logger.info("resuming from %s", start)
    torch.manual_seed(config.training.seed)
    task: AutoencoderTraining | DiffusionTraining
    faults = new_faults(config, trainer, config.data)
    folder = run_folder(config, trainer)
    measurements = Measurements(folder, measured(config))
    callbacks: list[Callback] = [
        ParametersWithoutGradient(),
        SkipNonFinite(most_in_row=trainer.most_skipped),
        UnreadableRecordings(faults),
        TrainingLevel(every=trainer.log_every),
        Throughput(seconds=item_seconds(config), every=trainer.log_every),
        *evaluations(config, folder, measurements, _device(trainer)),
    ]
    match config:
        case AutoencoderModelConfig(data=data, training=training):
            assert data is not None
            assert training is not None
            model = new_autoencoder(config, training)
            task = autoencoder_task(config, training, model)
            batches = autoencoder_data(config, training, data, faults)
        case DiffusionModelConfig(data=data, training=training):
            assert data is not None
            assert training is not None
            system = initial_model(config, training)
            encoder = system.autoencoder.to(_device(trainer))
            batches = diffusion_data(config, training, data, encoder, faults)
            task = diffusion_task(config, training, system)
            callbacks += demo_writer(training, folder)
    if trainer.compile:
        task.compile_networks()
    runner = build_trainer(
        config,
        trainer,
        measurements,
        first=early_stopping(trainer, measurements),
        callbacks=callbacks,
    )
    last = folder / "checkpoints" / "last.ckpt"
    fit(runner, task, batches, start=start)
    return last


def _check_measured(config: ModelConfig, trainer: TrainerConfig) -> None:
    """Check that what the run goes by is measured."""
    assert config.data is not None
    assert config.training is not None
    for field, name in going_by(trainer).items():
        where = f"{config.name}: `training.trainer.{field}`"
        if name.startswith("validation/") and config.data.validation is None:
            raise ConfigError(
                f"{where} is taken at validations; give a manifest of recordings for them as "
                "`data.validation`"
            )
        if name.startswith("evaluation/") and config.training.evaluation is None:
            raise ConfigError(
                f"{where} is taken at evaluations; describe them as `training.evaluation`"
            )


def _checkpoint(config: ModelConfig, trainer: TrainerConfig, resume: str) -> Path | None:
    last = run_folder(config, trainer) / "checkpoints" / "last.ckpt"
    match resume:
        case "auto":
            return last if last.is_file() else None
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
            return Path(resume)


def _check_resumable(config: ModelConfig, checkpoint: Path) -> None:
    """Refuse a checkpoint of another model than the configuration's."""
    header = read_header(checkpoint).get(HEADER)
    if header is None:
        raise ValueError(
            f"{checkpoint}: not a checkpoint of this library's training; start from its weights "
            "with training.initialize or training.autoencoder instead"
        )
    theirs, ours = decode_config(header["config"], source=str(checkpoint)), model_part(config)
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

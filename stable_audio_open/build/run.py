"""A training run from start to last checkpoint."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.build.initial import initial_model
from stable_audio_open.build.training import (
    autoencoder_data,
    autoencoder_task,
    build_trainer,
    demo_writer,
    diffusion_data,
    diffusion_task,
    new_autoencoder,
    run_folder,
)
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.training import TrainerConfig

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
    start = _checkpoint(config, trainer, resume)
    pl.seed_everything(config.training.seed, verbose=False)
    task: pl.LightningModule
    callbacks: list[pl.Callback] = []
    match config:
        case AutoencoderModelConfig(data=data, training=training):
            assert data is not None
            assert training is not None
            model = new_autoencoder(config, training)
            task = autoencoder_task(config, training, model)
            batches = autoencoder_data(config, training, data)
        case DiffusionModelConfig(data=data, training=training):
            assert data is not None
            assert training is not None
            system = initial_model(config, training)
            autoencoder: AudioAutoencoder = system.autoencoder
            batches = diffusion_data(config, training, data, autoencoder)
            task = diffusion_task(config, training, system)
            callbacks = demo_writer(training, run_folder(config, trainer))
    runner = build_trainer(config, trainer, callbacks=callbacks)
    if start is not None:
        logger.info("resuming from %s", start)
    last = run_folder(config, trainer) / "checkpoints" / "last.ckpt"
    with _without_needless_warnings():
        runner.fit(task, datamodule=batches, ckpt_path=start, weights_only=True)
    return last


@contextmanager
def _without_needless_warnings() -> Iterator[None]:
    """Hide warnings of Lightning about what is meant to be so here, and about its own code."""
    with warnings.catch_warnings():
        for message in (
            r"Found \d+ module\(s\) in eval mode",  # averaged weights, a frozen text encoder
            "The 'train_dataloader' does not have many workers",  # `data.workers` says how many
            "Checkpoint directory .* exists and is not empty",  # that of the run to resume
            r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        ):
            warnings.filterwarnings("ignore", message)
        yield


def _checkpoint(config: ModelConfig, trainer: TrainerConfig, resume: str) -> Path | None:
    last = run_folder(config, trainer) / "checkpoints" / "last.ckpt"
    match resume:
        case "auto":
            return last if last.is_file() else None
        case "none":
            if last.is_file():
                raise ValueError(
                    f"{last} exists and would be overwritten; resume with --resume auto, or choose "
                    "another training.trainer.name"
                )
            return None
        case _:
            if not Path(resume).is_file():
                raise ValueError(f"{resume}: there is no such checkpoint to resume from")
            return Path(resume)

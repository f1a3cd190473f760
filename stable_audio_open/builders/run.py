"""A configuration with all that a training needs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from stable_audio_open.config.data import DataConfig, FolderConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.config.training import AutoencoderTrainingConfig, DiffusionTrainingConfig
from stable_audio_open.data.manifest import Recording
from stable_audio_open.data.recordings import read_recordings
from stable_audio_open.files.inside import is_inside

Config = TypeVar("Config", AutoencoderModelConfig, DiffusionModelConfig)
Training = TypeVar("Training", AutoencoderTrainingConfig, DiffusionTrainingConfig)
Data = TypeVar("Data", FolderConfig, DataConfig)


class Manifests:
    """Lists of recordings, each of which is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], list[Recording]] = {}

    def read(self, folder: str | Path, manifest: str) -> list[Recording]:
        """Return the recordings of a folder, in their order.

        Args:
            folder: Folder of the recordings.
            manifest: Relative to the folder.

        Raises:
            ValueError: As `read_recordings`.
        """
        key = Path(folder), manifest
        if key not in self._known:
            self._known[key] = read_recordings(*key)
        return self._known[key]


@dataclass(frozen=True, kw_only=True)
class _Run(Generic[Config, Training, Data]):
    """What all trainings have."""

    config: Config
    training: Training
    trainer: TrainerConfig
    data: Data
    manifests: Manifests = field(default_factory=Manifests)

    @property
    def folder(self) -> Path:
        """Folder of the run's checkpoints and logs."""
        return Path(self.trainer.output) / (self.trainer.name or self.config.name)


class AutoencoderRun(_Run[AutoencoderModelConfig, AutoencoderTrainingConfig, FolderConfig]):
    """A training of an autoencoder: every section that it needs is there."""

    @property
    def item_seconds(self) -> float:
        """Seconds of audio that an item of a batch stands for."""
        return self.training.crop_samples / self.config.sample_rate


class DiffusionRun(_Run[DiffusionModelConfig, DiffusionTrainingConfig, DataConfig]):
    """A training of a diffusion transformer: every section that it needs is there."""

    @property
    def item_seconds(self) -> float:
        """Seconds of audio that an item of a batch stands for."""
        return self.config.window_samples / self.config.sample_rate


TrainingRun: TypeAlias = AutoencoderRun | DiffusionRun


def training_run(config: ModelConfig) -> TrainingRun:
    """Return the run that a configuration describes.

    Raises:
        ConfigError: When `data`, `training` or its trainer is missing, or the run's name leads out
            of its `output`.
    """
    if config.data is None or config.training is None:
        missing = "data" if config.data is None else "training"
        raise ConfigError(f"{config.name}: `{missing}` is missing; training needs this section")
    trainer = config.training.trainer
    if trainer is None:
        raise ConfigError(
            f"{config.name}: `training.trainer` is missing; it says how long to train"
        )
    name, field = trainer.name or config.name, "training.trainer.name" if trainer.name else "name"
    if not is_inside(name):
        raise ConfigError(
            f"{config.name}: `{field}` is {name!r}, a path that leads out of "
            f"`training.trainer.output` ({trainer.output!r}); give `training.trainer.name` a name, "
            "or a path inside of it"
        )
    match config:
        case AutoencoderModelConfig(training=AutoencoderTrainingConfig() as training, data=data):
            assert isinstance(data, FolderConfig)
            return AutoencoderRun(config=config, training=training, trainer=trainer, data=data)
        case DiffusionModelConfig(training=DiffusionTrainingConfig() as own, data=data):
            assert data is not None
            return DiffusionRun(config=config, training=own, trainer=trainer, data=data)
    raise AssertionError(config)

"""The recordings of a diffusion training, encoded ahead of it."""

from contextlib import ExitStack
from pathlib import Path

import torch

from stable_audio_open.builders.data import encoding_of, warn_of_spread
from stable_audio_open.builders.initial import trained_autoencoder
from stable_audio_open.conditions import SECONDS
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig, ModelConfig
from stable_audio_open.config.training import DiffusionTrainingConfig
from stable_audio_open.data.latent_shards.reading import LatentIndex, verify_shards
from stable_audio_open.data.latent_shards.writing import Plan, encode_shards, write_index
from stable_audio_open.data.manifest import check_numbers
from stable_audio_open.data.processes import JoinedProcesses, joined_processes
from stable_audio_open.data.recordings import holds_recordings, read_recordings
from stable_audio_open.files.lock import locked_folder


def run_encoding(
    config: ModelConfig, output: Path, *, per_shard: int, verify: bool = False
) -> LatentIndex | None:
    """Encode the recordings of a diffusion training into shards.

    Processes that torchrun started share the work, one GPU each where there are any.

    Args:
        config: Configuration with `data` (a folder) and `training`, whose autoencoder encodes.
        output: The folder of the shards. What is there already and still right is kept.
        per_shard: Recordings in each shard, at least 1.
        verify: Read all shards again in the end, and compare their checksums.

    Returns:
        The index, in the process of rank 0.

    Raises:
        ConfigError: When the configuration is of no diffusion training on a folder.
        AudioFileError: When too many recordings cannot be read.
        FolderInUseError: When another process encodes into the output.
        ValueError: When a checkpoint cannot be read, a checksum is wrong, or the output holds
            recordings.
    """
    if per_shard < 1:
        raise ValueError(f"recordings per shard must be at least 1, got {per_shard}")
    config, training, data = _parts(config)
    if holds_recordings(output):
        raise ValueError(
            f"{output}: holds recordings in shards, which those of latents would replace; give "
            "another folder as --output"
        )
    recordings = read_recordings(Path(data.path), data.manifest)
    check_numbers(recordings, [n for n in config.conditioning.numbers if n not in SECONDS])
    remedy = "wait until it ends, or give another folder as --output"
    with joined_processes() as processes, ExitStack() as held:
        if processes.rank == 0:
            held.enter_context(locked_folder(output, remedy=remedy))
        processes.wait()  # nobody writes before it is held
        autoencoder = trained_autoencoder(config, training).to(_device(training, processes))
        plan = Plan(
            recordings=recordings,
            folder=Path(data.path),
            output=output,
            encoding=encoding_of(config, autoencoder),
            per_shard=per_shard,
            most_unusable=data.most_unusable,
        )
        encode_shards(plan, autoencoder, rank=processes.rank, processes=processes.total)
        processes.wait()
        if processes.rank != 0:
            return None
        index = write_index(plan)
        warn_of_spread(config, training, index.spread)
        if verify:
            verify_shards(output)
        return index


def _parts(
    config: ModelConfig,
) -> tuple[DiffusionModelConfig, DiffusionTrainingConfig, FolderConfig]:
    """Return the parts that encoding needs, or say which is missing."""
    if not isinstance(config, DiffusionModelConfig):
        raise ConfigError(
            f'{config.name}: $.type: found "{config.__struct_config__.tag}"; allowed: '
            '"latent_diffusion": encoding takes the configuration of a diffusion training'
        )
    if config.data is None or config.training is None:
        missing = "data" if config.data is None else "training"
        raise ConfigError(f"{config.name}: `{missing}` is missing; encoding needs this section")
    if not isinstance(config.data, FolderConfig):
        raise ConfigError(
            f'{config.name}: $.data.type: found "{config.data.__struct_config__.tag}"; allowed: '
            '"folder": encoding takes the recordings themselves'
        )
    return config, config.training, config.data


def _device(training: DiffusionTrainingConfig, processes: JoinedProcesses) -> torch.device:
    """Return the GPU of this process, the CPU where there is none or none is wanted."""
    wanted = "auto" if training.trainer is None else training.trainer.accelerator
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    gpus = torch.cuda.device_count()
    if processes.local_rank >= gpus:
        raise ValueError(
            f"process {processes.local_rank} of this machine has no GPU, there are {gpus}; start "
            "as many processes as GPUs, or set training.trainer.accelerator=cpu"
        )
    return torch.device("cuda", processes.local_rank)

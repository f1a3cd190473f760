"""Batches of a training run from their configuration."""

import logging
from pathlib import Path
from typing import assert_never

from msgspec.structs import replace

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.run import AutoencoderRun, DiffusionRun, TrainingRun
from stable_audio_open.config.data import DataConfig, FolderConfig, ShardsConfig
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import DiffusionTrainingConfig
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.datamodule import AudioDataModule, EpochDataset, ValidatedDataModule
from stable_audio_open.data.dataset import CropDataset
from stable_audio_open.data.encoding import encoder_fingerprint
from stable_audio_open.data.faults import Faults
from stable_audio_open.data.latent_shards.reading import Encoding, open_shards, read_index
from stable_audio_open.data.latents import EncodedSet, LatentDataset, Spread, spread_of
from stable_audio_open.training.callbacks.listed_recordings import ListedRecordings

logger = logging.getLogger(__name__)


def autoencoder_data(run: AutoencoderRun, faults: Faults | None = None) -> AudioDataModule:
    """Return batches of random crops; unreadable recordings go to `faults` where it is given."""
    config, training, data = run.config, run.training, run.data

    def dataset(manifest: str, polarity_flip: float) -> CropDataset:
        return CropDataset(
            recordings=run.manifests.read(data.path, manifest),
            folder=Path(data.path),
            sample_rate=config.sample_rate,
            channels=config.audio_channels,
            crop_samples=training.crop_samples,
            crops_per_recording=data.crops_per_recording,
            polarity_flip=polarity_flip,
            loudness=data.loudness,
            seed=training.seed,
            faults=faults,
        )

    # Validation is of recordings as they are; their loudness is what the model is trained for.
    validation = dataset(data.validation, 0.0) if data.validation else None
    return _data_module(run, dataset(data.manifest, data.polarity_flip), validation)


def diffusion_data(
    run: DiffusionRun, autoencoder: AudioAutoencoder, faults: Faults | None = None
) -> AudioDataModule:
    """Return batches of windows of latents, which are encoded now unless they are in shards.

    Unreadable recordings go to `faults` where it is given.

    Raises:
        ValueError: When the shards are damaged or not of this model.
    """
    data = run.data
    encoded = _encoded(run, data, autoencoder, faults)
    warn_of_spread(run.config, run.training, encoded.spread)
    validation = None
    if data.validation is not None:
        match data:
            case FolderConfig():
                held_out: DataConfig = replace(data, manifest=data.validation)
            case ShardsConfig():
                held_out = replace(data, path=data.validation)
            case _:
                assert_never(data)
        validation = _windows(run, _encoded(run, held_out, autoencoder, faults))
    return _data_module(run, _windows(run, encoded), validation)


def _encoded(
    run: DiffusionRun,
    data: DataConfig,
    autoencoder: AudioAutoencoder,
    faults: Faults | None,
) -> EncodedSet:
    match data:
        case FolderConfig():
            return _encoded_now(run, data, autoencoder, faults)
        case ShardsConfig():
            return open_shards(Path(data.path), encoding_of(run.config, autoencoder))
        case _:
            assert_never(data)


def _windows(run: DiffusionRun, encoded: EncodedSet) -> LatentDataset:
    config, data = run.config, run.data
    return LatentDataset(
        recordings=encoded.recordings,
        latents=encoded.latents,
        window=config.window_samples // config.autoencoder.downsampling,
        downsampling=config.autoencoder.downsampling,
        sample_rate=config.sample_rate,
        crops_per_recording=data.crops_per_recording,
        trailing_silence=data.trailing_silence,
        caption_share=data.caption_share,
        metadata=data.prompts,
        whole_seconds=data.whole_seconds,
        numbers=config.conditioning.numbers,
        seed=run.training.seed,
    )


def _data_module(
    run: TrainingRun, dataset: EpochDataset, validation: EpochDataset | None
) -> AudioDataModule:
    settings = {
        "batch_size": run.training.batch_size,
        "workers": run.data.workers,
        "seed": run.training.seed,
    }
    if validation is None:
        return AudioDataModule(dataset, **settings)
    return ValidatedDataModule(dataset, validation, **settings)


def encoding_of(config: DiffusionModelConfig, autoencoder: AudioAutoencoder) -> Encoding:
    """Return what the latents of a model are made with."""
    return Encoding(
        encoder=encoder_fingerprint(autoencoder),
        sample_rate=config.sample_rate,
        audio_channels=config.audio_channels,
        downsampling=config.autoencoder.downsampling,
        latent_channels=config.autoencoder.latent_channels,
        window_samples=config.window_samples,
    )


def warn_of_spread(
    config: DiffusionModelConfig, training: DiffusionTrainingConfig, spread: Spread
) -> None:
    """Say which scale the autoencoder needs, if what is learnt is spread far from 1."""
    found = spread.draws if training.latents == "draws" else spread.means
    if not 0.5 <= found <= 2:
        logger.warning(
            "the latents have a standard deviation of %.3f, and noise levels assume 1: train with "
            "autoencoder.scale=%.4g",
            found,
            config.autoencoder.scale * found,
        )


def _encoded_now(
    run: DiffusionRun,
    data: FolderConfig,
    autoencoder: AudioAutoencoder,
    faults: Faults | None,
) -> EncodedSet:
    folder = Path(data.path)
    recordings = run.manifests.read(folder, data.manifest)
    latents = encode_recordings(
        autoencoder=autoencoder,
        recordings=recordings,
        folder=folder,
        cache=Path(data.latent_cache) if data.latent_cache else folder / "latents",
        channels=run.config.audio_channels,
        window_samples=run.config.window_samples,
        faults=faults,
    )
    return EncodedSet(recordings, latents, spread_of([one for one in latents if one is not None]))


def listed_recordings(run: TrainingRun, batches: AudioDataModule) -> ListedRecordings:
    """Return what tells how the recordings have changed since a run was interrupted.

    Args:
        run: The training.
        batches: Its batches.
    """
    data = run.data
    match data:
        case FolderConfig():
            listed = run.manifests.read(data.path, data.manifest)
            return ListedRecordings(listed, str(Path(data.path, data.manifest)))
        case ShardsConfig():
            windows = batches.dataset
            assert isinstance(windows, LatentDataset)
            return ListedRecordings(windows.recordings, data.path)
        case _:
            assert_never(data)


def new_faults(run: TrainingRun) -> Faults:
    """Return the list of a run's unusable recordings, kept in the run's folder.

    Raises:
        ValueError: When the manifest, or the index of the shards, cannot be used.
    """
    data = run.data
    report = run.folder / "unusable_recordings.csv"
    match data:
        case FolderConfig():
            listed = [data.manifest, *filter(None, [data.validation])]
            count = sum(len(run.manifests.read(data.path, manifest)) for manifest in listed)
            return Faults(report, recordings=count, most=data.most_unusable)
        case ShardsConfig():
            # What could not be used was left out when the shards were written.
            count = read_index(Path(data.path)).recordings
            limit = "what is in shards must be readable: copy or encode them again"
            return Faults(report, recordings=count, most=0.0, limit=limit)
        case _:
            assert_never(data)

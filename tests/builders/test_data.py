from typing import Any

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.data import (
    autoencoder_data,
    diffusion_data,
    encoding_of,
    new_faults,
)
from stable_audio_open.builders.run import AutoencoderRun, DiffusionRun, training_run
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.data.datamodule import ValidatedDataModule


def test_crops(autoencoder_config: AutoencoderModelConfig) -> None:
    run = training_run(autoencoder_config)
    assert isinstance(run, AutoencoderRun)
    faults = new_faults(run)
    assert (faults.recordings, faults.most) == (3 + 2, 0.35)
    assert faults.report == run.folder / "unusable_recordings.csv"
    module = autoencoder_data(run, faults)
    assert isinstance(module, ValidatedDataModule)
    assert (module.batch_size, module.workers, module.seed) == (9, 2, 31)
    dataset: Any = module.dataset
    assert dataset.files == ["0.wav", "1.wav", "2.wav"]
    assert len(dataset) == 3 * 6  # of 4,000 samples each
    assert (dataset.sample_rate, dataset.channels) == (8000, 2)
    assert (dataset.crop_samples, dataset.seed) == (512, 31)
    assert (dataset.polarity_flip, dataset.loudness) == (0.65, -21.5)
    validation: Any = module.validation
    assert validation.files == ["3.wav", "4.wav"]
    assert (validation.polarity_flip, validation.loudness) == (0.0, -21.5)


def test_windows(diffusion_config: DiffusionModelConfig) -> None:
    run = training_run(diffusion_config)
    assert isinstance(run, DiffusionRun)
    assert new_faults(run).most == 0.45
    autoencoder = build_autoencoder(run.config)
    module = diffusion_data(run, autoencoder)
    assert isinstance(module, ValidatedDataModule)
    assert (module.batch_size, module.workers, module.seed) == (8, 3, 41)
    dataset: Any = module.dataset
    assert [one.file for one in dataset.recordings] == ["0.wav", "1.wav", "2.wav"]
    assert (dataset.window, dataset.downsampling, dataset.sample_rate) == (128, 8, 8000)
    assert len(dataset) == 3 * 2
    assert (dataset.trailing_silence, dataset.caption_share) == (0.5, 0.15)
    assert dataset.metadata.named_share == 0.85
    assert (dataset.whole_seconds, dataset.seed) == (True, 41)
    validation: Any = module.validation
    assert [one.file for one in validation.recordings] == ["3.wav", "4.wav"]
    encoding = encoding_of(run.config, autoencoder)
    assert (encoding.sample_rate, encoding.audio_channels) == (8000, 2)
    assert (encoding.downsampling, encoding.latent_channels) == (8, 7)
    assert encoding.window_samples == 1024

import numpy as np
import pytest
import torch

from stable_audio_open.audio_models.log_mel import MelSpectrogram

pytestmark = pytest.mark.numerical


def slaney(mel: np.ndarray) -> np.ndarray:
    """Mel to hertz: 200/3 Hz a mel up to 1 kHz, then 27 mels for a factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def test_filters_are_slaneys_triangles_of_unit_area() -> None:
    spectrogram = MelSpectrogram(
        sample_rate=32000, size=1024, hop=320, bands=64, lowest=50.0, highest=14000.0
    )
    last = 15 + 27 * np.log(14) / np.log(6.4)
    edges = slaney(np.linspace(50 * 3 / 200, last, 66))
    bins = np.arange(513) * 32000 / 1024
    for band in range(64):
        low, middle, high = edges[band : band + 3]
        rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
        triangle = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
        torch.testing.assert_close(
            spectrogram.filters[:, band], torch.from_numpy(triangle).float(), rtol=1e-4, atol=1e-7
        )  # hertz of float32 mels


def test_frames_are_centred_and_of_the_power_of_the_window() -> None:
    audio = torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    spectrogram = MelSpectrogram(sample_rate=16000, size=512, hop=256, bands=20, padding="constant")
    found = spectrogram(audio)
    assert found.shape == (1, 1 + 5000 // 256, 20)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    padded = np.pad(audio[0].numpy().astype(np.float64), 256)
    for frame in (0, 7, 19):
        power = np.abs(np.fft.rfft(padded[frame * 256 :][:512] * window)) ** 2
        wanted = torch.from_numpy(power @ spectrogram.filters.double().numpy()).float()
        torch.testing.assert_close(found[0, frame], wanted, rtol=1e-4, atol=1e-6)  # float32 FFT

from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.resample import resample
from stable_audio_open.curation.training_set.fidelity import (
    FidelitySettings,
    fidelity,
    file_fidelity,
)

pytestmark = pytest.mark.numerical

RATE = 48000
SECONDS = 3


def noise(channels: int = 2, *, rate: int = RATE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(channels, SECONDS * rate, generator=generator)


def shaped(samples: Tensor, gain_db: float, above: float = 16000.0) -> Tensor:
    """Change the level above a frequency."""
    spectrum = torch.fft.rfft(samples.double())
    frequencies = torch.fft.rfftfreq(samples.shape[-1], 1 / RATE)
    gain = torch.where(frequencies >= above, 10 ** (gain_db / 20), 1.0)
    return torch.fft.irfft(spectrum * gain, n=samples.shape[-1]).float()


def sixteen_bits(samples: Tensor) -> Tensor:
    """Quantise with triangular dither, which is the loudest floor that files carry."""
    generator = torch.Generator().manual_seed(9)
    dither = torch.rand(2, *samples.shape, generator=generator)
    return ((samples * 32768) + dither[0] - dither[1]).round() / 32768


def test_a_real_recording_passes() -> None:
    found = fidelity(noise(), RATE)
    assert found.high
    assert found.lacks == ()
    assert found.width_db == pytest.approx(0.0, abs=0.2)
    assert found.high_db == pytest.approx(10 * torch.tensor(5.5 / 24).log10().item(), abs=0.1)
    assert found.edge_db == pytest.approx(0.0, abs=0.3)
    # A natural slope, in 16 bits, at twice the rate, and an original at twice the rate.
    assert fidelity(sixteen_bits(shaped(noise(), -40)), RATE).high
    assert fidelity(noise(rate=2 * RATE), 2 * RATE).high
    assert fidelity(resample(noise(rate=2 * RATE), 2 * RATE, RATE), RATE).high


def test_the_level_of_the_high_band_is_measured() -> None:
    for gain in (-20.0, -40.0, -60.0):
        found = fidelity(shaped(noise(), gain), RATE)
        expected = 10 * torch.tensor(5.5 / 16 * 10 ** (gain / 10)).log10().item()
        assert found.high_db == pytest.approx(expected, abs=0.2)
    assert "16.5 to 22 kHz" in fidelity(shaped(noise(), -75), RATE).lacks[0]


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize(("original", "empty"), [(44100, ["22.2"]), (32000, ["16.5", "22.2"])])
def test_upsampling_does_not_pass(original: int, empty: list[str], bits: int) -> None:
    samples = resample(noise(rate=original), original, RATE)
    found = fidelity(sixteen_bits(samples) if bits == 16 else samples, RATE)
    assert [lack.split()[0] for lack in found.lacks] == empty


@pytest.mark.parametrize("bits", [16, 32])
def test_a_low_pass_as_of_mp3_does_not_pass(bits: int) -> None:
    samples = shaped(noise(), -300, above=16000)
    found = fidelity(sixteen_bits(samples) if bits == 16 else samples, RATE)
    assert [lack.split()[0] for lack in found.lacks] == ["16.5", "22.2"]
    found = fidelity(shaped(noise(), -300, above=20000), RATE)
    assert [lack.split()[0] for lack in found.lacks] == ["22.2"]


@pytest.mark.parametrize("sides", [(1, 1), (1, -1), (1, 0), (0.2, 0.7)])
def test_fake_stereo_does_not_pass(sides: tuple[float, float]) -> None:
    samples = sixteen_bits(noise(1) * torch.tensor([sides]).T)
    (lack,) = fidelity(samples, RATE).lacks
    assert lack.startswith("stereo width -")


def test_width_is_side_over_mid_where_the_sides_are_alike() -> None:
    mid, side = noise(1), 10 ** (-30 / 20) * noise(1, seed=1)
    found = fidelity(torch.cat([mid + side, mid - side]), RATE)
    assert found.width_db == pytest.approx(-30.0, abs=0.2)
    assert found.high
    assert not fidelity(
        torch.cat([mid + side, mid - side]), RATE, FidelitySettings(width_db=-20)
    ).high


def test_silence_and_what_is_declared() -> None:
    assert len(fidelity(torch.zeros(2, RATE), RATE).lacks) == 3
    assert fidelity(noise(), 44100).lacks == ("44100 Hz, below 48000 Hz",)
    assert fidelity(noise(1), RATE).lacks == ("1 channels, not 2",)
    assert fidelity(noise()[:, :100], RATE).lacks == ("100 samples are too few to measure",)
    message = r"^edge_band must rise within 0\.\.22050 Hz, half of sample_rate, got 22200\.\.23500$"
    with pytest.raises(ValueError, match=message):
        FidelitySettings(sample_rate=44100)


def test_files_are_judged_by_their_middle(tmp_path: Path) -> None:
    loud = noise()
    silent_ends = torch.cat([0 * loud, loud, 0 * loud], dim=1)
    soundfile.write(tmp_path / "a.flac", silent_ends.T.numpy(), RATE, subtype="PCM_24")
    found = file_fidelity(tmp_path / "a.flac", FidelitySettings(seconds=2))
    assert found.high
    middle = loud[:, RATE // 2 : -RATE // 2]
    assert found.width_db == pytest.approx(fidelity(middle, RATE).width_db, abs=1e-3)
    soundfile.write(tmp_path / "b.wav", loud[0].numpy(), 44100)
    assert len(file_fidelity(tmp_path / "b.wav").lacks) == 2

"""KL from recordings to figures, by taggers whose answers are known."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.special import softmax
from torch import Tensor

from stable_audio_open.evaluation.kl import DEFINITIONS, evaluate_kl

pytestmark = pytest.mark.numerical

RATE, CLASSES = 8000, 4
PEAK = 10 ** (-1 / 20)
GENERATED, REFERENCE = (0.7, 0.2, 0.1), (0.2, 0.3, 0.5)


class SignTagger:
    """Hears the classes of the generated recording where the first sample is above 0."""

    name = "sign"
    sample_rate = RATE
    definition = "one window"

    def logits(self, mono: Tensor) -> Tensor:
        return torch.tensor(GENERATED if mono[0] > 0 else REFERENCE).log()[None] + 3.0


class WaveTagger:
    """Takes samples for logits: each window is one sample for each class."""

    name = "wave"
    sample_rate = RATE
    definition = "windows of 4 samples"
    gain = 5.0

    def logits(self, mono: Tensor) -> Tensor:
        return self.gain * mono.reshape(-1, CLASSES)


class ProbabilityTagger:
    """The same as probabilities alone, as the taggers of the music gate give them."""

    name = "probabilities"
    classes = ("a", "b", "c", "d")
    music_classes = ("a",)
    sample_rate = RATE
    seconds_per_frame = CLASSES / RATE
    stride = CLASSES
    context = 0

    def __call__(self, mono: Tensor) -> Tensor:
        return WaveTagger().logits(mono).sigmoid()


class BothTagger(ProbabilityTagger):
    """Has logits that float32 probabilities cannot hold: all of them are 1."""

    def logits(self, mono: Tensor) -> Tensor:
        return 100 + WaveTagger().logits(mono)

    def __call__(self, mono: Tensor) -> Tensor:
        return self.logits(mono).sigmoid()


def write(folder: Path, **recordings: np.ndarray) -> Path:
    folder.mkdir()
    for name, samples in recordings.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return folder


def wave(seed: int, windows: int, level: float) -> np.ndarray:
    """Stereo whose sides differ; the loudest sample of their mean is at the level."""
    generator = np.random.default_rng(seed)
    mono, side = generator.standard_normal((2, windows * CLASSES))
    mono *= level / np.abs(mono).max()
    return np.stack([mono + level * side, mono - level * side], axis=1).astype(np.float32)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two pairs at four levels, one of them above full scale; those of a pair differ in length."""
    return (
        write(tmp_path / "generated", one=wave(0, 3, 0.2), other=wave(1, 5, 1.6)),
        write(tmp_path / "reference", one=wave(2, 4, 0.7), other=wave(3, 2, 0.05)),
    )


def pooled(path: Path, *, windows: bool = False) -> np.ndarray:
    """The distribution of a recording, which is its own logits once its peak is at -1 dB."""
    mono = soundfile.read(path)[0].mean(axis=1)
    logits = WaveTagger.gain * (mono * PEAK / np.abs(mono).max()).reshape(-1, CLASSES)
    return softmax(logits, axis=1).mean(axis=0) if windows else softmax(logits.mean(axis=0))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(a * math.log(a / (b + 1e-6)) for a, b in zip(p, q, strict=True)))


def test_the_paper_asks_how_surprised_the_reference_would_be(tmp_path: Path) -> None:
    there = write(tmp_path / "generated", one=np.full(8, 0.5))
    back = write(tmp_path / "reference", one=np.full(8, -0.5))
    expected = 0.7 * math.log(0.7 / 0.2) + 0.2 * math.log(0.2 / 0.3) + 0.1 * math.log(0.1 / 0.5)
    reverse = 0.2 * math.log(0.2 / 0.7) + 0.3 * math.log(0.3 / 0.2) + 0.5 * math.log(0.5 / 0.1)
    tolerance = 2e-5  # what the epsilon of 1e-6 changes, and float32
    found = evaluate_kl(there, back, SignTagger())
    assert found.divergence == pytest.approx(expected, abs=tolerance)
    found = evaluate_kl(there, back, SignTagger(), definition=DEFINITIONS["reverse"])
    assert found.divergence == pytest.approx(reverse, abs=tolerance)


@pytest.mark.parametrize("name", ["paper", "reverse", "windows", "reverse-windows"])
def test_the_mean_of_channels_is_heard_at_its_peak(name: str, folders: tuple[Path, Path]) -> None:
    generated, reference = folders
    found = evaluate_kl(generated, reference, WaveTagger(), definition=DEFINITIONS[name])
    expected = {}
    for one in ("one", "other"):
        pair = [
            pooled(folder / f"{one}.wav", windows="windows" in name)
            for folder in (generated, reference)
        ]
        expected[one] = divergence(*(pair[::-1] if "reverse" in name else pair))
    assert found.per_file == pytest.approx(expected, rel=1e-5)
    assert found.divergence == pytest.approx(sum(expected.values()) / 2, rel=1e-5)
    assert (found.windows, found.classes, found.files) == (8, CLASSES, 2)


def test_logits_are_taken_from_probabilities_where_there_are_none(
    folders: tuple[Path, Path],
) -> None:
    wanted = evaluate_kl(*folders, WaveTagger())
    found = evaluate_kl(*folders, ProbabilityTagger())
    assert found.per_file == pytest.approx(wanted.per_file, rel=1e-4)


def test_a_taggers_own_logits_are_taken_where_it_has_them(folders: tuple[Path, Path]) -> None:
    """A constant added to all logits changes no distribution."""
    wanted = evaluate_kl(*folders, WaveTagger())
    found = evaluate_kl(*folders, BothTagger())
    assert found.per_file == pytest.approx(wanted.per_file, rel=1e-4)

"""The levels at which networks hear recordings: the embedders here give back what they hear."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.clap import ClapPrompt, evaluate_clap
from stable_audio_open.evaluation.embeddings.vectors import Channels, embed_recordings
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.levels import at_peak, through_16_bits
from tests.function_embedder import FunctionEmbedder

pytestmark = pytest.mark.numerical

RATE, WIDTH = 8000, 3
PEAK = 10 ** (-1 / 20)
"""-1 dB of full scale."""
STEP = 1 / 32767

SAMPLES = FunctionEmbedder(
    name="samples", sample_rate=RATE, function=lambda mono: mono.reshape(-1, WIDTH)
)


def write(path: Path, seed: int, left: float, right: float, windows: int = 40) -> np.ndarray:
    """Noise with a peak for each side; returns what the file holds."""
    noise = np.random.default_rng(seed).standard_normal((windows * WIDTH, 2))
    noise = (noise / np.abs(noise).max(axis=0) * (left, right)).astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return noise.astype(np.float64)


def heard_in_stereo(samples: np.ndarray) -> np.ndarray:
    """Windows of left beside those of right, both by the peak of the louder."""
    level = samples * PEAK / np.abs(samples).max()
    return np.concatenate([side.reshape(-1, WIDTH) for side in level.T], axis=1)


@pytest.mark.parametrize(("left", "right"), [(0.5, 0.1), (0.02, 0.3), (1.7, 1.2)])
def test_sides_are_heard_at_their_common_peak(left: float, right: float, tmp_path: Path) -> None:
    samples = write(tmp_path / "a.wav", 0, left, right)
    found = embed_recordings({"a": tmp_path / "a.wav"}, SAMPLES).values
    torch.testing.assert_close(found, torch.from_numpy(heard_in_stereo(samples)).float())
    assert float(found.abs().max()) == pytest.approx(0.8912509)  # -1 dB
    quieter = found[:, :WIDTH] if left < right else found[:, WIDTH:]
    assert float(quieter.abs().max()) == pytest.approx(
        0.8912509 * min(left, right) / max(left, right)
    )


def test_the_mean_of_sides_has_a_peak_of_its_own(tmp_path: Path) -> None:
    samples = write(tmp_path / "a.wav", 0, 0.5, 0.1)
    mono = samples.mean(axis=1)
    found = embed_recordings({"a": tmp_path / "a.wav"}, SAMPLES, channels="mono").values
    expected = (mono * PEAK / np.abs(mono).max()).reshape(-1, WIDTH)
    torch.testing.assert_close(found, torch.from_numpy(expected).float())


def test_one_side_is_heard_for_both_and_silence_as_it_is(tmp_path: Path) -> None:
    one = write(tmp_path / "two.wav", 0, 0.5, 0.5)[:, 0]
    soundfile.write(tmp_path / "one.wav", one, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "none.wav", 0 * one, RATE, subtype="FLOAT")
    found = embed_recordings({name: tmp_path / f"{name}.wav" for name in ("one", "none")}, SAMPLES)
    expected = heard_in_stereo(np.stack([one, one], axis=1))
    torch.testing.assert_close(found.values[:40], torch.from_numpy(expected).float())
    assert not found.values[40:].any()
    assert found.silent == ("none",)


@pytest.mark.parametrize("channels", ["stereo", "mono"])
def test_frechet_distance_of_what_is_heard(channels: Channels, tmp_path: Path) -> None:
    """Recordings at many levels, by scipy's square root of a matrix."""
    sets = []
    for name, first in (("made", 0), ("reference", 10)):
        rows = []
        for index in range(4):
            path = tmp_path / name / f"{index}.wav"
            samples = write(path, first + index, 0.9 / (1 + index), 0.1 + 0.2 * index)
            if channels == "stereo":
                rows.append(heard_in_stereo(samples))
            else:
                mono = samples.mean(axis=1)
                rows.append((mono * PEAK / np.abs(mono).max()).reshape(-1, WIDTH))
        sets.append(np.concatenate(rows))
    (m, c), (n, d) = ((rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in sets)
    root = scipy.linalg.sqrtm(c @ d).real
    expected = ((m - n) ** 2).sum() + np.trace(c + d - 2 * root)
    found = evaluate_frechet(
        tmp_path / "made", tmp_path / "reference", SAMPLES, channels=channels, points=0
    )
    assert found.distance == pytest.approx(expected, rel=1e-4)


def test_peaks_scale_all_alike_and_leave_silence() -> None:
    samples = torch.tensor([[0.25, -0.5], [0.1, 0.0]])
    torch.testing.assert_close(at_peak(samples), samples * (0.8912509 / 0.5))
    torch.testing.assert_close(at_peak(samples, -6.0), samples * (0.5011872 / 0.5))
    assert torch.equal(at_peak(0 * samples), 0 * samples)


def test_16_bits_are_cut_towards_0() -> None:
    given = torch.tensor([0.9, -0.9, 1.5, -1.5, 0.0]) * torch.tensor([STEP, STEP, 1, 1, 1])
    assert through_16_bits(given).tolist() == [0, 0, 1, -1, 0]
    between = torch.tensor([100.6, -100.6, 20000.5, -20000.5]) * STEP
    wanted = torch.tensor([100.0, -100.0, 20000.0, -20000.0]) / 32767
    torch.testing.assert_close(through_16_bits(between), wanted)


class Ear:
    """A joint embedder that keeps what it hears."""

    name = "ear"
    sample_rate = RATE

    def __init__(self) -> None:
        self.heard: list[Tensor] = []

    def __call__(self, mono: Tensor) -> Tensor:
        self.heard.append(mono)
        return torch.ones(1, 2)

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        return torch.ones(len(prompts), 2)


def test_clap_hears_a_crop_at_the_level_of_the_whole_in_16_bits(tmp_path: Path) -> None:
    """The peak of this recording is its first sample, which the crop lacks."""
    samples = write(tmp_path / "a.wav", 0, 0.2, 0.2, windows=2000)
    samples[0] = 0.6
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    mono = soundfile.read(tmp_path / "a.wav")[0].mean(axis=1)
    ear = Ear()
    prompts = [ClapPrompt(id="a", prompt="noise")]
    found = evaluate_clap(tmp_path, prompts, ear, source="prompts.csv", crop=0.25)
    first = round(found.per_prompt[0].start * RATE)
    assert 0 < first <= 6000 - 2000
    level = (mono * PEAK / 0.6)[first : first + 2000]
    (heard,) = ear.heard
    written = heard.double().numpy()
    assert written.shape == level.shape
    np.testing.assert_allclose(written / STEP, (written / STEP).round(), atol=2e-3)
    lost = np.abs(level) - np.abs(written)  # towards 0, by less than a step
    assert lost.min() > -0.01 * STEP
    assert lost.max() < 1.01 * STEP
    assert lost.mean() == pytest.approx(STEP / 2, rel=0.1)


def test_clap_hears_the_whole_of_a_short_recording_at_its_peak(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0, 0.2, 0.2)
    ear = Ear()
    evaluate_clap(tmp_path, [ClapPrompt(id="a", prompt="noise")], ear, source="prompts.csv")
    (heard,) = ear.heard
    assert len(heard) == 40 * WIDTH
    assert float(heard.abs().max()) == pytest.approx(PEAK, abs=1.01 * STEP)


class TaggerEar(Ear):
    """The same for KL."""

    definition = "whole"

    def logits(self, mono: Tensor) -> Tensor:
        return self(mono)


def test_networks_hear_at_their_own_rate(tmp_path: Path) -> None:
    """A tone of 440 Hz written at 20 kHz is one of 440 Hz at 8 kHz; its left side is silent."""
    for name in ("made", "reference"):
        tone = np.sin(2 * np.pi * 440 * np.arange(20000) / 20000)
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", np.stack([0 * tone, 0.3 * tone], axis=1), 20000)
    wanted = PEAK * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    ear = TaggerEar()
    path = tmp_path / "made" / "a.wav"
    embed_recordings({"a": path}, ear)
    assert not ear.heard.pop(0).any()
    embed_recordings({"a": path}, ear, channels="mono")
    evaluate_clap(tmp_path / "made", [ClapPrompt(id="a", prompt="tone")], ear, source="prompts.csv")
    evaluate_kl(tmp_path / "made", tmp_path / "reference", ear)
    assert len(ear.heard) == 5
    for heard in ear.heard:
        assert len(heard) == RATE
        inner = slice(200, -200)  # the filter rings at the cut ends
        np.testing.assert_allclose(heard.numpy()[inner], wanted[inner], atol=0.01)

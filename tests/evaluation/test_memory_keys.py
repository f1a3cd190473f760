"""One memory for metrics that differ: each figure is that which the metric finds alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.clap import ClapPrompt, evaluate_clap
from stable_audio_open.evaluation.embeddings.vectors import embed_recordings
from stable_audio_open.evaluation.kl import evaluate_kl

pytestmark = pytest.mark.numerical

RATE = 8000


class Listener:
    """Hears levels of eighths, times a gain: an embedder of audio and text, and a tagger."""

    sample_rate = RATE
    definition = "whole"

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.name = f"gain {gain}"

    def __call__(self, mono: Tensor) -> Tensor:
        return self.gain * mono[: len(mono) // 8 * 8].reshape(8, -1).std(dim=1)[None]

    def logits(self, mono: Tensor) -> Tensor:
        return self(mono)

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        generator = torch.Generator().manual_seed(round(100 * self.gain))
        return torch.rand(len(prompts), 8, generator=generator)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    generator = np.random.default_rng(0)
    for name in ("made", "reference"):
        noise = generator.standard_normal((3 * RATE, 2)) * np.linspace(0.1, 0.3, 3 * RATE)[:, None]
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", 0.2 * noise, RATE, subtype="FLOAT")
    return tmp_path / "made", tmp_path / "reference"


def test_vectors_by_channels_and_network(folders: tuple[Path, Path]) -> None:
    files, memory = {"a": folders[0] / "a.wav"}, ResultCache()
    for gain in (1.0, 2.0):
        for channels in ("stereo", "mono"):
            alone = embed_recordings(files, Listener(gain), channels=channels)
            found = embed_recordings(files, Listener(gain), channels=channels, memory=memory)
            assert torch.equal(found.values, alone.values)


def test_logits_by_network(folders: tuple[Path, Path]) -> None:
    memory = ResultCache()
    for gain in (1.0, 2.0):
        alone = evaluate_kl(*folders, Listener(gain))
        assert evaluate_kl(*folders, Listener(gain), memory=memory) == alone


def test_scores_by_crop_seed_and_network(folders: tuple[Path, Path]) -> None:
    memory, prompts, scores = ResultCache(), [ClapPrompt(id="a", prompt="noise")], set()
    for gain, crop, seed in ((1.0, 1.0, 0), (1.0, 2.0, 0), (1.0, 1.0, 1), (2.0, 1.0, 0)):
        listener = Listener(gain)
        alone = evaluate_clap(folders[0], prompts, listener, source="x", crop=crop, seed=seed)
        found = evaluate_clap(
            folders[0], prompts, listener, source="x", crop=crop, seed=seed, memory=memory
        )
        assert found == alone
        scores.add(found.score)
    assert len(scores) == 4

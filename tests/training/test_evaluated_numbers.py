"""Evaluations in training of a model that is conditioned on other numbers than seconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.fixed_set import FixedRecording, FixedSet, fixed_set_hash
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.training.callbacks.evaluated.generations import (
    GENERATIONS,
    GenerationEvaluation,
    Listeners,
)


@pytest.fixture
def recordings(tmp_path: Path) -> Sequence[FixedRecording]:
    samples = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(tmp_path / "kick.wav", samples, 16000)
    return [FixedRecording(path=tmp_path / "kick.wav", caption="deep kick", numbers={"bpm": 90.0})]


def test_generations_take_the_numbers_of_their_recordings(
    random_flow: LatentDiffusion, recordings: Sequence[FixedRecording], tmp_path: Path
) -> None:
    fixed = FixedSet(
        recordings=recordings,
        folder=tmp_path / "fixed",
        seconds=0.5,
        sample_rate=16000,
        channels=2,
    )
    fixed.write()
    evaluation = GenerationEvaluation(
        fixed,
        metrics=[],
        load=lambda: Listeners(None, None, None),
        steps=None,
        guidance_scale=None,
        seed=4,
    )
    evaluation.share(random_flow, tmp_path / "made", rank=0, processes=1)
    [made] = (tmp_path / "made" / GENERATIONS).glob("kick.*")
    found = read_audio(made).samples
    expected = generate(
        random_flow,
        "deep kick",
        duration=0.5,
        conditions={"bpm": 90},
        steps=8,
        guidance_scale=1.0,
        seed=4,
        progress=False,
    ).samples
    # Written with 24 bits, and turned down where it would clip.
    peak = max(1.0, float(expected.abs().max()))
    found, expected = (x / x.abs().max() for x in (found, expected / peak))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_another_number_is_another_fixed_set(recordings: Sequence[FixedRecording]) -> None:
    [one] = recordings
    names = {
        fixed_set_hash([FixedRecording(path=one.path, caption=one.caption, numbers=numbers)])
        for numbers in ({}, {"bpm": 90.0}, {"bpm": 91.0})
    }
    assert len(names) == 3

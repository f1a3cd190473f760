"""Decoders in half precision: what stays in float32 is as exact as float32, and the rest is not."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    return importlib.import_module("measure_precision")


def test_decibels(script: ModuleType) -> None:
    sound = torch.tensor([3.0, 4.0])
    assert script.decibels(sound + torch.tensor([0.0, 0.05]), sound) == pytest.approx(40)


def test_each_format_has_its_noise(script: ModuleType, random_model: LatentDiffusion) -> None:
    generator = torch.Generator().manual_seed(0)
    latents = [torch.randn(1, 8, 20, generator=generator) for _ in range(2)]
    found = script.measure(random_model.autoencoder.decoder.float(), latents)
    low = {name: min(values) for name, values in found.items()}
    assert low["float32"] > 100 > low["float16"] > low["bfloat16"] + 10
    assert low["bfloat16, Snake in float32"] < 60
    # All blocks but the input are in float32 in the small model, which has two.
    assert low["float16, last block in float32"] > low["float16"]

"""The published model's behaviours, one file per part; the numbers are those of its description."""

from pathlib import Path

import pytest

from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config


@pytest.fixture(scope="session")
def published() -> DiffusionModelConfig:
    """The configuration of the published model."""
    folder = Path(__file__).parents[2] / "configs" / "stable_audio_open_1_0"
    config = read_config(folder / "diffusion.json")
    assert isinstance(config, DiffusionModelConfig)
    return config

"""What sets the published training apart in the shipped configurations."""

from pathlib import Path
from typing import Any

import pytest

from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config

CONFIGS = Path(__file__).parents[2] / "configs"
TRAININGS = sorted(
    f"{path.parent.name}/{path.stem}"
    for folder in (
        "cluster",
        "finetune",
        "stable_audio_open_1_0",
        "stable_audio_open_small",
        "tiny",
    )
    for path in (CONFIGS / folder).glob("*.json")
)
FLIPPED = {"stable_audio_open_1_0/autoencoder", "stable_audio_open_1_0/autoencoder_decoder"}
EVERY_SIDE = {*FLIPPED, "finetune/decoder"}
MEANS = {"tiny/diffusion", "tiny/flow", "tiny/flow_few_steps"}


@pytest.mark.parametrize("name", TRAININGS)
def test_sides_flips_and_draws(name: str) -> None:
    config: Any = read_config(CONFIGS / f"{name}.json")
    assert config.data.polarity_flip == (0.5 if name in FLIPPED else 0)
    assert config.data.loudness is None
    if isinstance(config, AutoencoderModelConfig):
        assert config.training is not None
        loss = config.training.loss
        assert (loss.convergence, loss.skip_silent_side) == ("item", name not in EVERY_SIDE)
    else:
        assert config.training.latents == ("means" if name in MEANS else "draws")

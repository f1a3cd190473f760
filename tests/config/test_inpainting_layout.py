"""Inpainting channels in the configuration, and in stable-audio-tools' layout."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.config.stable_audio_tools import (
    from_stable_audio_tools,
    to_stable_audio_tools,
)
from stable_audio_open.config.training import InpaintingConfig

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/tiny/diffusion.json"


def inpainting_file() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        (Path(__file__).parent / "small_model_config.json").read_bytes()
    )
    value["model_type"] = "diffusion_cond_inpaint"
    value["model"]["diffusion"]["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
    value["model"]["diffusion"]["config"]["input_concat_dim"] = 65
    return value


def read(value: dict[str, Any]) -> DiffusionModelConfig:
    config = from_stable_audio_tools(value, source="model_config.json")
    assert isinstance(config, DiffusionModelConfig)
    return config


def test_the_file_means_a_model_with_channels_and_is_written_again() -> None:
    config = read(inpainting_file())
    assert config.transformer.inpainting
    assert config.training is not None
    assert config.training.inpainting == InpaintingConfig()
    written = to_stable_audio_tools(config)
    assert written["model_type"] == "diffusion_cond_inpaint"
    diffusion = written["model"]["diffusion"]
    assert diffusion["input_concat_ids"] == ["inpaint_mask", "inpaint_masked_input"]
    assert diffusion["config"]["input_concat_dim"] == 65
    assert read(written) == config
    plain = replace(
        config, transformer=replace(config.transformer, inpainting=False), training=None
    )
    written = to_stable_audio_tools(plain)
    assert written["model_type"] == "diffusion_cond"
    assert "input_concat_ids" not in written["model"]["diffusion"]
    assert "input_concat_dim" not in written["model"]["diffusion"]["config"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model_type",), "diffusion_cond", 'input_concat_ids: found ["inpaint_mask", "inpaint_'),
        (
            ("model", "diffusion", "input_concat_ids"),
            ["inpaint_mask"],
            'found ["inpaint_mask"]; allowed: ["inpaint_mask", "inpaint_masked_input"]',
        ),
        (("model", "diffusion", "input_concat_ids"), [], "found []; allowed: "),
        (
            ("model", "diffusion", "config", "input_concat_dim"),
            64,
            "$.model.diffusion.config.input_concat_dim: found 64; allowed: 65 (mask and masked",
        ),
        (("model", "diffusion", "config", "input_concat_dim"), 0, "found 0; allowed: 65"),
        (
            ("model", "diffusion", "local_add_cond_ids"),
            ["inpaint_mask", "inpaint_masked_input"],
            'unknown field "local_add_cond_ids"',
        ),
    ],
)
def test_other_channels_are_refused_by_name(
    place: tuple[str, ...], value: object, message: str
) -> None:
    file = copy.deepcopy(inpainting_file())
    at = file
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    with pytest.raises(ConfigError) as error:
        read(file)
    assert message in str(error.value)


def test_channels_of_a_plain_model_are_refused() -> None:
    file = inpainting_file() | {"model_type": "diffusion_cond"}
    del file["model"]["diffusion"]["input_concat_ids"]
    with pytest.raises(ConfigError, match="input_concat_dim: found 65; allowed: 0"):
        read(file)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["transformer.inpainting=true"], "`training.inpainting` says nothing of the masks"),
        (["training.inpainting={}"], "only with `transformer.inpainting` true"),
        (
            [
                "transformer.inpainting=true",
                "training.inpainting={}",
                "training.initialize=tiny",
                'training.lora={"rank": 4}',
            ],
            "`training.lora` trains an adapter alone",
        ),
        (
            ["transformer.inpainting=true", 'training.inpainting={"whole": 0.8, "segments": 0.3}'],
            "`whole` 0.8 and `segments` 0.3 must be at most 1 together",
        ),
        (["training.inpainting.most_segments=0"], "most_segments"),
    ],
)
def test_channels_and_their_training_belong_together(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(TINY, overrides)
    assert message in str(error.value)


def test_the_usual_masks() -> None:
    config = read_config(TINY, ["transformer.inpainting=true", "training.inpainting={}"])
    assert config.training is not None
    assert config.training.inpainting == InpaintingConfig(whole=0.8, segments=0.1, most_segments=10)

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stable_audio_open.checkpoint.diffusers.config import pipeline_files, read_pipeline_config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import model_part, read_config

NATIVE = Path(__file__).parents[2] / "configs/stable_audio_open_1_0/diffusion.json"

PUBLISHED: dict[str, dict[str, Any]] = {
    "transformer": {
        "_class_name": "StableAudioDiTModel",
        "_diffusers_version": "0.30.0",
        "attention_head_dim": 64,
        "cross_attention_dim": 768,
        "cross_attention_input_dim": 768,
        "global_states_input_dim": 1536,
        "in_channels": 64,
        "num_attention_heads": 24,
        "num_key_value_attention_heads": 12,
        "num_layers": 24,
        "out_channels": 64,
        "sample_size": 1024,
        "time_proj_dim": 256,
    },
    "vae": {
        "_class_name": "AutoencoderOobleck",
        "audio_channels": 2,
        "channel_multiples": [1, 2, 4, 8, 16],
        "decoder_channels": 128,
        "decoder_input_channels": 64,
        "downsampling_ratios": [2, 4, 4, 8, 8],
        "encoder_hidden_size": 128,
        "sampling_rate": 44100,
    },
    "projection_model": {
        "_class_name": "StableAudioProjectionModel",
        "conditioning_dim": 768,
        "max_value": 512,
        "min_value": 0,
        "text_encoder_dim": 768,
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, config in PUBLISHED.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/tokenizer_config.json").write_text('{"model_max_length": 128}')
    return tmp_path


def test_the_published_pipeline_is_the_shipped_configuration(folder: Path) -> None:
    ours = model_part(read_config(NATIVE))
    assert isinstance(ours, DiffusionModelConfig)
    theirs = read_pipeline_config(folder)
    assert theirs.transformer == ours.transformer
    assert replace(theirs.autoencoder, iterate_batch=True) == replace(
        ours.autoencoder, iterate_batch=True
    )
    assert theirs.window_samples == ours.window_samples == 2_097_152
    assert theirs.conditioning.cross_attention == ours.conditioning.cross_attention
    assert theirs.conditioning.global_ == ours.conditioning.global_
    text, *numbers = theirs.conditioning.conditioners
    assert tuple(numbers) == ours.conditioning.conditioners[1:]
    assert replace(text, model="t5-base") == ours.conditioning.conditioners[0]


@pytest.mark.parametrize("limit", ["{}", '{"model_max_length": 1000000000000000019884624838656}'])
def test_a_tokenizer_without_limit_pads_as_published(folder: Path, limit: str) -> None:
    (folder / "tokenizer/tokenizer_config.json").write_text(limit)
    assert read_pipeline_config(folder).conditioning.conditioners[0].max_length == 128


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        (
            "transformer",
            "out_channels",
            32,
            "$.out_channels: found 32; allowed: 64 (the in_channels)",
        ),
        ("transformer", "time_proj_dim", 128, "$.time_proj_dim: found 128; allowed: 256"),
        (
            "transformer",
            "num_key_value_attention_heads",
            24,
            "$.num_key_value_attention_heads: found 24; allowed: 12 (context / head width)",
        ),
        (
            "transformer",
            "cross_attention_dim",
            1024,
            "$.cross_attention_dim: found 1024; allowed: 768 (the projection_model's "
            "conditioning_dim)",
        ),
        (
            "vae",
            "encoder_hidden_size",
            64,
            "$.encoder_hidden_size: found 64; allowed: 128 (means and scales, twice the "
            "decoder_input_channels)",
        ),
        (
            "vae",
            "audio_channels",
            "2",
            '$.audio_channels: found "2"; allowed: an integer >= 1 and <= 65536',
        ),
    ],
)
def test_other_architectures_are_refused_by_name(
    folder: Path, part: str, field: str, value: object, message: str
) -> None:
    path = folder / part / "config.json"
    path.write_text(json.dumps(PUBLISHED[part] | {field: value}))
    with pytest.raises(ConfigError) as caught:
        read_pipeline_config(folder)
    assert str(caught.value) == f"{path}: {message}"


def test_unknown_fields_are_refused(folder: Path) -> None:
    path = folder / "transformer/config.json"
    path.write_text(json.dumps(PUBLISHED["transformer"] | {"qk_norm": True}))
    with pytest.raises(ConfigError, match='unknown field "qk_norm"'):
        read_pipeline_config(folder)


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / "projection_model/config.json").unlink()
    with pytest.raises(ConfigError, match=r"projection_model/config.json: cannot be read: No such"):
        read_pipeline_config(folder)


def test_another_number_of_rotated_features_is_refused(folder: Path) -> None:
    config = read_pipeline_config(folder)
    pipeline_files(config, text_width=768)
    whole = replace(config, transformer=replace(config.transformer, rotated=64))
    with pytest.raises(
        ConfigError, match=r"\$\.transformer\.rotated: found 64; allowed in diffusers: 32$"
    ):
        pipeline_files(whole, text_width=768)


@pytest.mark.parametrize("value", [[], 1, None, "x", True, [{"model_max_length": 1}]])
@pytest.mark.parametrize(
    "name",
    ["tokenizer/tokenizer_config.json", "vae/config.json", "transformer/config.json",
     "projection_model/config.json"],
)  # fmt: skip
def test_files_of_any_json_type_give_one_line(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value))
    with pytest.raises(ConfigError) as caught:
        read_pipeline_config(folder)
    assert str(caught.value).startswith(f"{folder / name}: $: found ")
    assert "\n" not in str(caught.value)

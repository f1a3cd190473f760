"""The published layout; its prompts in the fixture are ours, everything else is as published."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from stable_audio_open.config.conditioning import NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.read import decode_config, encode_config, read_config
from stable_audio_open.config.stable_audio_tools import (
    from_stable_audio_tools,
    to_stable_audio_tools,
)
from stable_audio_open.config.training import EmaConfig
from stable_audio_open.config.transformer import TransformerConfig

HERE = Path(__file__).parent
MODEL = HERE / "published_model_config.json"
VAE = HERE / "published_vae_config.json"
NATIVE = HERE.parents[1] / "configs/stable_audio_open_1_0"
PRETRANSFORM = "model.pretransform"
ENCODER = "model.pretransform.config.encoder"
DECODER = "model.pretransform.config.decoder"
DIT = "model.diffusion.config"


def published(path: Path = MODEL) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def changed(path: str, new: object, *, file: Path = MODEL) -> dict[str, Any]:
    """Return the published file with one field set."""
    value = part = published(file)
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    for key in parents:
        part = part[key]
    part[last] = new
    return value


def diffusion(value: dict[str, Any]) -> DiffusionModelConfig:
    config = from_stable_audio_tools(value, source="model_config.json")
    assert isinstance(config, DiffusionModelConfig)
    return config


def test_published_file_round_trips_to_the_same_json() -> None:
    value = published()
    kept = copy.deepcopy(value)
    back = to_stable_audio_tools(diffusion(value))
    assert back == kept
    assert json.dumps(back, sort_keys=True) == json.dumps(kept, sort_keys=True)
    assert value == kept


def test_published_file_means_the_published_model() -> None:
    config = diffusion(published())
    assert config.name == "model_config"
    assert (config.sample_rate, config.audio_channels, config.window_samples) == (44100, 2, 2097152)
    for side in (config.autoencoder.encoder, config.autoencoder.decoder):
        assert side.channels == 128
        assert side.multipliers == (1, 2, 4, 8, 16)
        assert side.strides == (2, 4, 4, 8, 8)
        assert not side.final_tanh
    assert config.autoencoder.latent_channels == 64
    assert config.autoencoder.scale == 1
    assert config.autoencoder.iterate_batch
    assert config.conditioning.conditioners == (
        T5Config(id="prompt", model="t5-base", max_length=128),
        NumberConfig(id="seconds_start", min=0, max=512),
        NumberConfig(id="seconds_total", min=0, max=512),
    )
    assert config.conditioning.cross_attention == ("prompt", "seconds_start", "seconds_total")
    assert config.conditioning.global_ == ("seconds_start", "seconds_total")
    assert config.transformer == TransformerConfig(
        latent_channels=64, width=1536, depth=24, heads=24, context_width=768, global_width=1536
    )
    training = config.training
    assert training is not None
    assert training.optimizer == AdamWConfig(lr=5e-5, betas=(0.9, 0.999), weight_decay=1e-3)
    assert training.schedule == InverseLRConfig(inv_gamma=1000000, power=0.5, warmup=0.99)
    assert training.ema == EmaConfig(decay=0.9999, power=0.75)
    assert training.guidance_dropout == 0.1
    assert training.demo is not None
    assert training.demo.guidance_scales == (3, 6, 9)


def test_frozen_encoder_flag_of_some_copies_is_accepted() -> None:
    assert diffusion(changed(f"{ENCODER}.requires_grad", False)) == diffusion(published())


def test_native_files_survive_the_way_there_and_back() -> None:
    config = read_config(NATIVE / "diffusion.json")
    there = to_stable_audio_tools(config)
    del there["training"]
    back = diffusion(json.loads(json.dumps(there)))
    assert replace(back, name=config.name) == replace(config, data=None, training=None)


@pytest.mark.parametrize(
    ("path", "new", "native", "value"),
    [
        (f"{PRETRANSFORM}.scale", 0.5, "autoencoder.scale", 0.5),
        (f"{PRETRANSFORM}.iterate_batch", False, "autoencoder.iterate_batch", False),
        (f"{DECODER}.config.final_tanh", True, "autoencoder.decoder.final_tanh", True),
        ("model.conditioning.configs.0.config.enable_grad", True,
         "conditioning.conditioners.0.trainable", True),
        ("model.conditioning.configs.1.config.max_val", 60.5, "conditioning.conditioners.1.max",
         60.5),
        ("training.use_ema", False, "training.ema", None),
        ("training.log_loss_info", True, "training.log_loss_by_timestep", True),
        ("training.cfg_dropout_prob", 0.2, "training.guidance_dropout", 0.2),
        ("training.demo.num_demos", 3, "training.demo.count", 3),
    ],
)  # fmt: skip
def test_other_values_are_carried_over_both_ways(
    path: str, new: object, native: str, value: object
) -> None:
    file = changed(path, new)
    config = diffusion(file)
    part = msgspec.to_builtins(config)
    for key in native.split("."):
        part = part[int(key)] if key.isdecimal() else part[key]
    assert part == value
    assert to_stable_audio_tools(config) == file


@pytest.mark.parametrize(
    ("path", "default"),
    [
        (f"{DIT}.patch_size", 1),
        (f"{DIT}.global_cond_type", "prepend"),
        (f"{DIT}.qk_norm", False),
        (f"{DIT}.num_memory_tokens", 0),
        (f"{DIT}.project_global_cond", True),
        (f"{DIT}.timestep_embed_dim", None),
        ("model.diffusion.diffusion_objective", "v"),
        ("model.diffusion.prepend_cond_ids", []),
        (f"{PRETRANSFORM}.scale", 1.0),
        (f"{PRETRANSFORM}.model_half", False),
        (f"{PRETRANSFORM}.config.in_channels", 2),
        ("model.conditioning.configs.0.config.project_out", False),
        ("training.cfg_dropout_prob", 0.1),
        ("training.timestep_sampler", "uniform"),
        ("training.mask_padding", False),
    ],
)
def test_spelt_out_defaults_change_nothing(path: str, default: object) -> None:
    assert diffusion(changed(path, default)) == diffusion(published())


@pytest.mark.parametrize(
    ("path", "new", "problem"),
    [
        ("model_type", "diffusion_uncond",
         'found "diffusion_uncond"; allowed: "diffusion_cond", "diffusion_cond_inpaint", '
         '"autoencoder"; did you mean "diffusion_cond"?'),
        (f"{ENCODER}.type", "seanet", 'found "seanet"; allowed: "oobleck"'),
        (f"{ENCODER}.config.use_snake", False, "found false; allowed: true"),
        (f"{DECODER}.config.use_snake", False, "found false; allowed: true"),
        (f"{DECODER}.config.antialias_activation", True, "found true; allowed: false"),
        (f"{DECODER}.config.use_nearest_upsample", True, "found true; allowed: false"),
        (f"{DECODER}.soft_clip", True, "found true; allowed: false"),
        (f"{PRETRANSFORM}.type", "wavelet", 'found "wavelet"; allowed: "autoencoder"'),
        (f"{PRETRANSFORM}.model_half", True, "found true; allowed: false"),
        (f"{PRETRANSFORM}.config.bottleneck.type", "rvq", 'found "rvq"; allowed: "vae"'),
        (f"{PRETRANSFORM}.config.io_channels", 1, "found 1; allowed: 2 (the audio_channels)"),
        (f"{PRETRANSFORM}.config.out_channels", 1, "found 1; allowed: 2 (the audio_channels)"),
        (f"{PRETRANSFORM}.config.downsampling_ratio", 1024,
         "found 1024; allowed: 2048 (the product of the encoder's strides)"),
        (f"{ENCODER}.config.latent_dim", 64,
         "found 64; allowed: 128 (means and scales, twice the autoencoder's latent_dim)"),
        (f"{DECODER}.config.latent_dim", 128,
         "found 128; allowed: 64 (the autoencoder's latent_dim)"),
        ("model.conditioning.configs.0.type", "clap_text",
         'found "clap_text"; allowed: "t5", "number"'),
        ("model.conditioning.configs.0.config.project_out", True, "found true; allowed: false"),
        ("model.conditioning.default_keys", {"a": "b"},
         "found an object; allowed: an empty object"),
        ("model.diffusion.type", "adp_cfg_1d", 'found "adp_cfg_1d"; allowed: "dit"'),
        ("model.diffusion.diffusion_objective", "eps",
         'found "eps"; allowed: "rectified_flow", "rf_denoiser", "v"'),
        ("model.diffusion.input_concat_ids", ["prompt"],
         'found ["prompt"]; allowed: [] (of a model_type diffusion_cond)'),
        (f"{DIT}.transformer_type", "x-transformers",
         'found "x-transformers"; allowed: "continuous_transformer"; '
         'did you mean "continuous_transformer"?'),
        (f"{DIT}.global_cond_type", "adaLN", 'found "adaLN"; allowed: "prepend"'),
        (f"{DIT}.patch_size", 2, "found 2; allowed: 1"),
        (f"{DIT}.qk_norm", True, 'found true; allowed: false, "none"'),
        (f"{DIT}.qk_norm", "ln", 'found "ln"; allowed: false, "none"'),
        (f"{DIT}.num_memory_tokens", 64, "found 64; allowed: 0"),
        (f"{DIT}.project_cond_tokens", "no", 'found "no"; allowed: true or false'),
        (f"{DIT}.cond_token_dim", 1024, "found 1024; allowed: 768 (the cond_dim)"),
        (f"{DIT}.global_cond_dim", 768,
         "found 768; allowed: 1536 (the cond_dim x the number of global_cond_ids)"),
        (f"{DIT}.io_channels", 32, "found 32; allowed: 64 (the autoencoder's latent_dim)"),
        ("model.io_channels", 32, "found 32; allowed: 64 (the autoencoder's latent_dim)"),
        ("sample_size", 2097153,
         "found 2097153; allowed: a multiple of 2048 (the downsampling_ratio)"),
        ("audio_channels", 4, "found 4; allowed: an integer >= 1 and <= 2"),
        ("training.timestep_sampler", "trunc_logit_normal",
         'found "trunc_logit_normal"; allowed: "logit_normal", "uniform"; '
         'did you mean "logit_normal"?'),
        ("training.mask_padding", True, "found true; allowed: false"),
        ("training.pre_encoded", True, "found true; allowed: false"),
        ("training.learning_rate", 1e-4, "found 0.0001; allowed: null"),
        ("training.optimizer_configs.diffusion.optimizer.type", "Adam",
         'found "Adam"; allowed: "AdamW"; did you mean "AdamW"?'),
        ("training.optimizer_configs.diffusion.scheduler.config.final_lr", 1e-6,
         "found 1e-06; allowed: 0"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(path: str, new: object, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        diffusion(changed(path, new))
    place = ".".join(f"[{key}]" if key.isdecimal() else key for key in path.split("."))
    assert str(error.value) == f"model_config.json: $.{place.replace('.[', '[')}: {problem}"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"{DIT}.ff_kwargs", '$.model.diffusion.config: unknown field "ff_kwargs"; allowed: '),
        (f"{ENCODER}.config.dilations",
         '$.model.pretransform.config.encoder.config: unknown field "dilations"; allowed: '),
        ("training.loss_configs", '$.training: unknown field "loss_configs"; allowed: '),
        ("random_seed", '$: unknown field "random_seed"; allowed: '),
    ],
)  # fmt: skip
def test_unknown_fields_are_refused_by_name(path: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        diffusion(changed(path, {}))
    assert str(error.value).startswith(f"model_config.json: {problem}")
    assert "\n" not in str(error.value)


def test_parts_that_do_not_fit_are_refused_at_their_place() -> None:
    with pytest.raises(ConfigError) as error:
        diffusion(changed(f"{DIT}.num_heads", 7))
    assert str(error.value) == (
        "model_config.json: $.model.diffusion.config: `width` 1536 must be divisible by `heads` 7"
    )
    with pytest.raises(ConfigError) as error:
        diffusion(changed("model.conditioning.configs.1.id", "start"))
    assert str(error.value) == (
        "model_config.json: $.model.conditioning: `cross_attention` names the conditioner "
        '"seconds_start"; there are: "prompt", "start", "seconds_total"'
    )
    with pytest.raises(ConfigError) as error:
        diffusion(changed(f"{ENCODER}.config.strides.0", 3))
    assert str(error.value) == (
        "model_config.json: $.model.pretransform.config.encoder.config.strides[0]: found 3; "
        "allowed: an integer >= 2 and <= 65536 that is a multiple of 2"
    )


def test_context_is_projected_where_the_file_does_not_say() -> None:
    value = published()
    assert not diffusion(value).transformer.project_context
    del value["model"]["diffusion"]["config"]["project_cond_tokens"]
    assert diffusion(value).transformer.project_context


@pytest.mark.parametrize(
    ("heads", "head_width", "rotated"),
    [(12, 128, None), (24, 64, None), (32, 48, 32), (48, 32, 32)],
)
def test_half_of_a_head_is_rotated_and_at_least_32_features(
    heads: int, head_width: int, rotated: int | None
) -> None:
    value = changed(f"{DIT}.num_heads", heads)
    transformer = diffusion(value).transformer
    assert transformer.rotated == rotated
    assert transformer.rotated_features == max(head_width // 2, 32)
    back = to_stable_audio_tools(diffusion(value))
    assert back["model"]["diffusion"]["config"]["num_heads"] == heads


def test_heads_too_narrow_to_be_rotated_there_are_refused() -> None:
    with pytest.raises(ConfigError) as error:
        diffusion(changed(f"{DIT}.num_heads", 64))
    assert str(error.value) == (
        "model_config.json: $.model.diffusion.config: `embed_dim` / `num_heads` is 24; allowed: at "
        "least 32, which are rotated whatever the width of a head"
    )


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["transformer.heads=48"], "found 16 of the 32 features of a head; allowed: 32"),
        (["transformer.rotated=48"], "found 48 of the 64 features of a head; allowed: 32"),
    ],
)
def test_writing_refuses_another_number_of_rotated_features(
    overrides: list[str], problem: str
) -> None:
    with pytest.raises(ConfigError) as error:
        to_stable_audio_tools(read_config(NATIVE / "diffusion.json", overrides))
    assert str(error.value) == (
        f"stable-audio-open-1.0: $.transformer.rotated: {problem} (stable-audio-tools rotates half "
        "of a head, and at least 32)"
    )


OPTIMISER = published()["training"]["optimizer_configs"]["diffusion"]["optimizer"]


@pytest.mark.parametrize(
    ("training", "fault"),
    [
        ({"use_ema": True, "learning_rate": 4e-5},
         '$.training: missing field "optimizer_configs";'),
        ({"optimizer_configs": {"diffusion": {"optimizer": OPTIMISER}}},
         '$.training.optimizer_configs.diffusion: missing field "scheduler";'),
        (published()["training"] | {"pre_encoded": True}, "$.training.pre_encoded: found true;"),
        (published()["training"] | {"logging": {"log_every": 20}},
         '$.training: unknown field "logging";'),
        (published()["training"] | {"demo": {}}, '$.training.demo: missing field "demo_every";'),
        (published()["training"] | {"demo": published()["training"]["demo"] | {"demo_cond": [{}]}},
         "$: `training.demo.conditions[0]`"),
        ([1], "$.training: found an array of 1;"),
        ("later", '$.training: found "later";'),
        (None, "$.training: found null;"),
    ],
)  # fmt: skip
def test_how_a_model_was_trained_matters_to_a_training_alone(
    training: object, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = published() | {"training": training}
    with pytest.raises(ConfigError) as error:
        from_stable_audio_tools(value, source="model_config.json")
    assert str(error.value).startswith(f"model_config.json: {fault}")
    config = from_stable_audio_tools(value, source="model_config.json", for_training=False)
    del value["training"]
    assert config == from_stable_audio_tools(value, source="model_config.json")
    [message] = caplog.messages
    assert message.startswith(
        "model_config.json: how the model was trained is not translated; left out: $.training "
        f"({fault}"
    )


def test_the_training_as_published_is_translated_either_way() -> None:
    config = from_stable_audio_tools(published(), source="model_config.json", for_training=False)
    assert config == diffusion(published())
    assert config.training is not None


def test_autoencoder_alone_says_what_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        config = from_stable_audio_tools(published(VAE), source="folder/vae_config.json")
    assert isinstance(config, AutoencoderModelConfig)
    assert config.name == "vae_config"
    assert config.training is None
    assert caplog.messages == [
        "folder/vae_config.json: how an autoencoder was trained is not translated; left out: "
        "$.sample_size (the length of its crops), $.training"
    ]
    model = diffusion(published()).autoencoder
    assert replace(config.autoencoder, iterate_batch=True) == model


def test_autoencoder_alone_round_trips_but_for_its_training() -> None:
    value = published(VAE)
    config = from_stable_audio_tools(value, source="vae_config.json")
    del value["training"]
    assert to_stable_audio_tools(config) == value


def test_autoencoder_alone_is_refused_by_name_too() -> None:
    value = changed("model.bottleneck", {"type": "tanh"}, file=VAE)
    with pytest.raises(ConfigError) as error:
        from_stable_audio_tools(value, source="vae_config.json")
    assert str(error.value) == (
        'vae_config.json: $.model.bottleneck.type: found "tanh"; allowed: "vae"'
    )
    value = changed("model.downsampling_ratio", 512, file=VAE)
    with pytest.raises(ConfigError) as error:
        from_stable_audio_tools(value, source="vae_config.json")
    assert str(error.value) == (
        "vae_config.json: $.model.downsampling_ratio: found 512; "
        "allowed: 2048 (the product of the encoder's strides)"
    )


def test_writing_says_what_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        to_stable_audio_tools(read_config(NATIVE / "diffusion.json"))
        to_stable_audio_tools(read_config(NATIVE / "autoencoder.json"))
    assert caplog.messages == [
        "stable-audio-tools' layout has no place for: name, data, training.trainer, "
        "training.batch_size, training.autoencoder, training.initialize, "
        "training.activation_checkpointing, training.seed",
        "stable-audio-tools' layout has no place for: name, data, training, "
        "autoencoder.iterate_batch",
    ]


def test_writing_refuses_what_the_layout_cannot_say() -> None:
    config = read_config(NATIVE / "diffusion.json", ["training.ema.decay=0.99"])
    with pytest.raises(ConfigError) as error:
        to_stable_audio_tools(config)
    assert str(error.value) == (
        "stable-audio-open-1.0: $.training.ema: found decay 0.99 and power 0.75; allowed: null, "
        "or 0.9999 and 0.75 (stable-audio-tools knows no other)"
    )
    config = read_config(NATIVE / "autoencoder.json", ["autoencoder.scale=2"])
    with pytest.raises(ConfigError) as error:
        to_stable_audio_tools(config)
    assert str(error.value) == (
        "stable-audio-open-1.0-autoencoder: $.autoencoder.scale: found 2.0; allowed: 1 "
        "(stable-audio-tools scales the latents of a diffusion model only)"
    )


def test_the_published_layout_is_recognised_by_its_model_type() -> None:
    config = decode_config(MODEL.read_bytes(), source=str(MODEL))
    assert config == read_config(MODEL)
    assert config.name == "published_model_config"
    assert decode_config(encode_config(config), source="native") == config

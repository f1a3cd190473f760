"""The small model in stable-audio-tools' layout: a flow, few steps, other conditions."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stable_audio_open.config.conditioning import NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig, TimestepShiftConfig
from stable_audio_open.config.read import model_part, read_config
from stable_audio_open.config.stable_audio_tools import (
    from_stable_audio_tools,
    to_stable_audio_tools,
)
from stable_audio_open.config.transformer import TransformerConfig

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "configs/stable_audio_open_small/diffusion.json"


def small() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((HERE / "small_model_config.json").read_bytes())
    return value


def read(value: dict[str, Any]) -> DiffusionModelConfig:
    config = from_stable_audio_tools(value, source="model_config.json")
    assert isinstance(config, DiffusionModelConfig)
    return config


def with_dit(**fields: object) -> dict[str, Any]:
    value = small()
    value["model"]["diffusion"]["config"] |= fields
    return value


def with_diffusion(**fields: object) -> dict[str, Any]:
    value = small()
    value["model"]["diffusion"] |= fields
    return value


def refused(value: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        read(value)
    return str(error.value)


def test_the_file_means_the_small_model() -> None:
    config = read(small())
    assert config.objective == "rf_denoiser"
    assert config.timestep_shift is None
    assert config.window_samples == 524_288
    assert config.conditioning.conditioners == (
        T5Config(id="prompt", model="t5-base", max_length=64),
        NumberConfig(id="seconds_total", min=0, max=256),
    )
    assert config.conditioning.cross_attention == ("prompt", "seconds_total")
    assert config.conditioning.global_ == ("seconds_total",)
    assert config.transformer == TransformerConfig(
        latent_channels=64,
        width=1024,
        depth=16,
        heads=8,
        context_width=768,
        global_width=768,
        qk_norm="ln",
        project_context=True,
    )
    assert config.transformer.rotated_features == 64


def test_it_is_the_shipped_configuration() -> None:
    shipped = model_part(read_config(SHIPPED))
    assert isinstance(shipped, DiffusionModelConfig)
    theirs = replace(model_part(read(small())), name=shipped.name, objective="rectified_flow")
    assert theirs == shipped


def test_it_round_trips_with_its_default_spelt_out() -> None:
    value = small()
    kept = copy.deepcopy(value)
    kept["model"]["diffusion"]["config"]["project_cond_tokens"] = True
    assert to_stable_audio_tools(read(value)) == kept
    assert to_stable_audio_tools(read(kept)) == kept


@pytest.mark.parametrize("objective", ["v", "rectified_flow", "rf_denoiser"])
def test_every_objective_is_carried_over(objective: str) -> None:
    config = read(with_diffusion(diffusion_objective=objective))
    assert config.objective == objective
    back = to_stable_audio_tools(config)["model"]["diffusion"]
    assert back.get("diffusion_objective", "v") == objective


def test_an_objective_that_is_said_twice_must_be_the_same() -> None:
    assert read(with_dit(diffusion_objective="rf_denoiser")) == read(small())
    assert refused(with_dit(diffusion_objective="v")) == (
        'model_config.json: $.model.diffusion.config.diffusion_objective: found "v"; allowed: '
        "rf_denoiser (the diffusion_objective of model.diffusion)"
    )


def test_a_shift_of_the_timesteps_is_carried_over() -> None:
    options = {"base_shift": 0.25, "max_shift": 2, "min_length": 128, "max_length": 512}
    config = read(with_diffusion(distribution_shift_options=options | {"use_sine": True}))
    assert config.timestep_shift == TimestepShiftConfig(
        base_shift=0.25, max_shift=2, min_length=128, max_length=512, use_sine=True
    )
    assert to_stable_audio_tools(config)["model"]["diffusion"]["distribution_shift_options"] == (
        options | {"use_sine": True}
    )
    assert read(with_diffusion(distribution_shift_options={})).timestep_shift == (
        TimestepShiftConfig(
            base_shift=0.5, max_shift=1.15, min_length=256, max_length=4096, use_sine=False
        )
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            with_dit(attn_kwargs={"qk_norm": "l2"}),
            '$.model.diffusion.config.attn_kwargs.qk_norm: found "l2"; allowed: "ln", "none"',
        ),
        (
            with_dit(attn_kwargs={"flash": True}),
            '$.model.diffusion.config.attn_kwargs: unknown field "flash"; allowed: "qk_norm"',
        ),
        (
            with_diffusion(local_add_cond_ids=["inpaint_mask"]),
            '$.model.diffusion: unknown field "local_add_cond_ids"; allowed: ',
        ),
        (
            with_diffusion(distribution_shift_options={"shift": 3}),
            "$.model.diffusion.distribution_shift_options: unknown field "
            '"shift"; allowed: "base_shift", "max_shift", "min_length", "max_length", "use_sine"; '
            'did you mean "max_shift"?',
        ),
        (
            with_diffusion(distribution_shift_options={"min_length": 4096}),
            "$.model.diffusion.distribution_shift_options: `min_length` 4096 must be below "
            "`max_length` 4096",
        ),
        (
            with_diffusion(distribution_shift_options={}, diffusion_objective="v"),
            "$: `timestep_shift` is of flows, but `objective` is `v`; leave it out, or set "
            "`objective` to `rectified_flow` or `rf_denoiser`",
        ),
        (
            with_diffusion(diffusion_objective="rectified-flow"),
            '$.model.diffusion.diffusion_objective: found "rectified-flow"; allowed: '
            '"rectified_flow", "rf_denoiser", "v"; did you mean "rectified_flow"?',
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(value: dict[str, Any], problem: str) -> None:
    assert refused(value).startswith(f"model_config.json: {problem}")


def test_numbers_of_any_name_cross_or_global() -> None:
    value = small()
    value["model"]["conditioning"]["configs"] += [
        {"id": "bpm", "type": "number", "config": {"min_val": 40, "max_val": 240}},
        {"id": "brightness", "type": "number", "config": {"min_val": -1, "max_val": 1}},
    ]
    diffusion = value["model"]["diffusion"]
    diffusion["cross_attention_cond_ids"] = ["bpm", "prompt"]
    diffusion["global_cond_ids"] = ["seconds_total", "brightness"]
    diffusion["config"]["global_cond_dim"] = 2 * 768
    del value["training"]
    config = read(value)
    assert config.conditioning.cross_attention == ("bpm", "prompt")
    assert config.conditioning.global_ == ("seconds_total", "brightness")
    diffusion["config"]["project_cond_tokens"] = True
    assert to_stable_audio_tools(config) == value


@pytest.mark.parametrize("spelt_out", [True, False])
def test_a_model_without_global_conditions(spelt_out: bool) -> None:
    value = small()
    diffusion = value["model"]["diffusion"]
    del diffusion["config"]["global_cond_dim"], diffusion["global_cond_ids"]
    if spelt_out:
        diffusion["config"]["global_cond_dim"] = 0
        diffusion["global_cond_ids"] = []
    config = read(value)
    assert (config.conditioning.global_, config.transformer.global_width) == ((), 0)
    back = to_stable_audio_tools(config)["model"]["diffusion"]
    assert (back["global_cond_ids"], back["config"]["global_cond_dim"]) == ([], 0)


def test_demos_give_what_the_model_is_conditioned_on() -> None:
    value = small()
    value["training"]["demo"]["demo_cond"][1]["seconds_start"] = 0
    assert refused(value) == (
        "model_config.json: $: `training.demo.conditions[1]` must give prompt, seconds_total, "
        "found prompt, seconds_total, seconds_start"
    )


def test_timestep_distributions_are_carried_over() -> None:
    value = small()
    value["training"]["timestep_sampler"] = "logit_normal"
    config = read(value)
    assert config.training is not None
    assert config.training.timesteps == "logit_normal"
    assert to_stable_audio_tools(config)["training"]["timestep_sampler"] == "logit_normal"
    value["training"]["timestep_sampler"] = "uniform"  # a Sobol sequence there
    assert read(value).training == replace(config.training, timesteps="sobol")
    independent = replace(config, training=replace(config.training, timesteps="uniform"))
    with pytest.raises(ConfigError) as error:
        to_stable_audio_tools(independent)
    assert str(error.value) == (
        'model_config: $.training.timesteps: found "uniform"; allowed: "sobol" (which '
        'stable-audio-tools calls uniform) or "logit_normal"'
    )

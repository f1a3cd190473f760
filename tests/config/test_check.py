"""Every kind of mistake in a file, with the whole message."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import decode_config

CONFIGS = Path(__file__).parents[2] / "configs/stable_audio_open_1_0"
Value = Any


def message(name: str, change: Callable[[Value], object]) -> str:
    value = json.loads((CONFIGS / f"{name}.json").read_bytes())
    change(value)
    with pytest.raises(ConfigError) as error:
        decode_config(json.dumps(value), source="file.json")
    assert "\n" not in str(error.value)
    source, _, rest = str(error.value).partition(": ")
    assert source == "file.json"
    return rest


def put(path: str, new: object) -> Callable[[Value], None]:
    """Set the value at a path such as `a.0.b`, in lists and objects."""

    def change(value: Value) -> None:
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        for key in parents:
            value = value[key]
        value[last] = new

    return change


def paths(value: Value, path: str = "") -> Iterator[str]:
    """Yield the path of every part of a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield f"{path}{key}"
        if isinstance(part, dict | list):
            yield from paths(part, f"{path}{key}.")


def drop(path: str) -> Callable[[Value], None]:
    def change(value: Value) -> None:
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        for key in parents:
            value = value[key]
        del value[last]

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            put("autoencoder.encoder.chanels", 128),
            '$.autoencoder.encoder: unknown field "chanels"; allowed: "type", "channels", '
            '"multipliers", "strides", "final_tanh"; did you mean "channels"?',
        ),
        (
            put("training.loss.zzz", 1),
            '$.training.loss: unknown field "zzz"; allowed: "fft_sizes", "a_weighting", '
            '"mid_side", "left_right", "mel", "waveform", "kl", "reference", '
            '"convergence", "skip_silent_side"',
        ),
        (
            put("training.lr", 1e-4),
            '$.training: unknown field "lr"; allowed: "trainer", "optimizer", "schedule", '
            '"batch_size", "crop_samples", "loss", "adversarial", "train", "initialize", "ema", '
            '"initial_scale_bias", "evaluation", "seed"; '
            'did you mean "optimizer.lr"?',
        ),
        (
            put("autoencoder.latent_dim", 64),
            '$.autoencoder: unknown field "latent_dim"; allowed: "encoder", "decoder", '
            '"bottleneck", "latent_channels", "scale", "iterate_batch"; '
            'did you mean "latent_channels"?',
        ),
        (
            drop("autoencoder.latent_channels"),
            '$.autoencoder: missing field "latent_channels"; allowed: an integer >= 1 and <= 65536',
        ),
        (
            drop("training.optimizer.betas"),
            '$.training.optimizer: missing field "betas"; allowed: an array of 2',
        ),
        (
            put("training.batch_size", "four"),
            '$.training.batch_size: found "four"; allowed: an integer >= 1 and <= 65536',
        ),
        (
            put("training.batch_size", 4.0),
            "$.training.batch_size: found 4.0; allowed: an integer >= 1 and <= 65536",
        ),
        (
            put("training.batch_size", True),
            "$.training.batch_size: found true; allowed: an integer >= 1 and <= 65536",
        ),
        (
            put("training.batch_size", 0),
            "$.training.batch_size: found 0; allowed: an integer >= 1 and <= 65536",
        ),
        (put("audio_channels", 3), "$.audio_channels: found 3; allowed: an integer >= 1 and <= 2"),
        (put("name", ""), '$.name: found ""; allowed: a non-empty string'),
        (put("name", ["a"]), "$.name: found an array of 1; allowed: a non-empty string"),
        (
            put("training.optimizer.lr", 0),
            "$.training.optimizer.lr: found 0; allowed: a number > 0 and <= 10",
        ),
        (
            put("training.optimizer.betas.1", 1.0),
            "$.training.optimizer.betas[1]: found 1.0; allowed: a number >= 0 and < 1",
        ),
        (
            put("training.optimizer.betas", [0.9]),
            "$.training.optimizer.betas: found an array of 1; allowed: an array of 2",
        ),
        (
            put("autoencoder.decoder.strides.1", 3),
            "$.autoencoder.decoder.strides[1]: found 3; "
            "allowed: an integer >= 2 and <= 65536 that is a multiple of 2",
        ),
        (
            put("autoencoder.encoder", None),
            "$.autoencoder.encoder: found null; allowed: an object",
        ),
        (put("training", 3), "$.training: found 3; allowed: an object or null"),
        (
            put("training.loss.fft_sizes", []),
            "$.training.loss.fft_sizes: found an array of 0; allowed: a non-empty array",
        ),
        (
            put("training.loss.a_weighting", 1),
            "$.training.loss.a_weighting: found 1; allowed: true or false",
        ),
        (
            put("training.trainer.devices", "all"),
            '$.training.trainer.devices: found "all"; allowed: '
            'an integer >= 1 and <= 65536 or "auto"',
        ),
        (
            put("training.trainer.precision", "bf16-mix"),
            '$.training.trainer.precision: found "bf16-mix"; '
            'allowed: "32-true", "bf16-mixed"; did you mean "bf16-mixed"?',
        ),
        (
            put("autoencoder.bottleneck.type", "VAE"),
            '$.autoencoder.bottleneck.type: found "VAE"; allowed: "vae"; did you mean "vae"?',
        ),
        (
            drop("autoencoder.bottleneck.type"),
            '$.autoencoder.bottleneck: missing field "type"; allowed: "vae"',
        ),
        (
            put("type", "autoencoders"),
            '$.type: found "autoencoders"; allowed: "autoencoder", "latent_diffusion"; '
            'did you mean "autoencoder"?',
        ),
        (
            put("data", {"type": "shards", "path": "latents"}),
            '$.data.type: found "shards"; allowed: "folder"',
        ),
        (drop("type"), '$: missing field "type"; allowed: "autoencoder", "latent_diffusion"'),
        (
            lambda value: value.update(tpye=value.pop("type")),
            '$: unknown field "tpye"; did you mean "type"?',
        ),
        (
            put("data.loudness", 3.0),
            "$.data.loudness: found 3.0; allowed: a number >= -70 and <= 0 or null",
        ),
        (
            put("training.optimizer.lr", 10**400),
            f"$.training.optimizer.lr: found 1{'0' * 58}…; allowed: a number > 0 and <= 10",
        ),
    ],
)
def test_fields(change: Callable[[Value], object], expected: str) -> None:
    assert message("autoencoder", change) == expected


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            "autoencoder",
            drop("autoencoder.encoder.strides.0"),
            "$.autoencoder.encoder: `multipliers` and `strides` must be non-empty and equally "
            "long, found 5 and 4 items",
        ),
        (
            "autoencoder",
            put("autoencoder.decoder.strides.0", 4),
            "$.autoencoder: `encoder.strides` downsample by 2048 but `decoder.strides` upsample "
            "by 4096; they must agree",
        ),
        (
            "autoencoder",
            put("autoencoder.encoder.final_tanh", True),
            "$.autoencoder: `encoder.final_tanh` must be false: only the decoder has a tanh",
        ),
        (
            "autoencoder",
            put("training.crop_samples", 65537),
            "$: `training.crop_samples` 65537 must be a multiple of the autoencoder's "
            "downsampling 2048",
        ),
        (
            "autoencoder",
            put("training.loss.fft_sizes", [131072]),
            "$.training: `crop_samples` 65536 must be at least the longest of "
            "`loss.fft_sizes`, 131072",
        ),
        (
            "autoencoder",
            put("training.train", "decoder"),
            "$.training: `train` is `decoder`, which needs a trained encoder; give its checkpoint "
            "as `initialize`",
        ),
        (
            "autoencoder",
            put("training.trainer.strategy", "fsdp"),
            "$.training: `trainer.strategy` is `fsdp`, which splits a diffusion transformer; for "
            "an autoencoder it must be `auto` or `ddp`",
        ),
        (
            "diffusion",
            put("data.polarity_flip", 0.5),
            "$: `data.polarity_flip` is 0.5, which changes the crops of an autoencoder; a "
            "diffusion model is trained on latents that are encoded once: leave it out",
        ),
        (
            "diffusion",
            put("data.loudness", -16),
            "$: `data.loudness` is -16, which changes the crops of an autoencoder; a "
            "diffusion model is trained on latents that are encoded once: leave it out",
        ),
        (
            "diffusion",
            put("training.trainer", {"max_steps": 1, "devices": 1, "strategy": "fsdp"}),
            "$.training.trainer: `strategy` is `fsdp`, which splits the model over processes, and "
            "`devices` x `nodes` is 1; it must be at least 2, or `strategy` be `auto`",
        ),
        (
            "diffusion",
            put(
                "training",
                {
                    "trainer": {"max_steps": 1, "devices": 2, "strategy": "fsdp"},
                    "optimizer": {
                        "type": "adamw",
                        "lr": 1e-4,
                        "betas": [0.9, 0.99],
                        "weight_decay": 0,
                        "offload": True,
                    },
                    "schedule": {"type": "inverse_lr", "inv_gamma": 1, "power": 0, "warmup": 0},
                },
            ),
            "$.training: `trainer.strategy` is `fsdp`, which splits running means and averaged "
            "weights over the processes; `optimizer.offload` and `ema.offload` must be false with "
            "it",
        ),
        (
            "diffusion",
            put("training.trainer.strategy", "ddp_sharded"),
            '$.training.trainer.strategy: found "ddp_sharded"; allowed: "auto", "ddp", "fsdp"',
        ),
        (
            "autoencoder",
            put("training.adversarial.fft_sizes", [131072]),
            "$.training: `crop_samples` 65536 must be at least the longest of "
            "`adversarial.fft_sizes`, 131072",
        ),
        (
            "autoencoder",
            put("training.loss", {"mid_side": 0, "left_right": 0}),
            "$.training.loss: `mid_side`, `left_right`, `mel` and `waveform` are all 0; "
            "one must be above 0",
        ),
        (
            "diffusion",
            put("data.type", "shard"),
            '$.data.type: found "shard"; allowed: "folder", "shards"; did you mean "shards"?',
        ),
        (
            "diffusion",
            put("window_samples", 2097151),
            "$: `window_samples` 2097151 must be a multiple of the autoencoder's downsampling 2048",
        ),
        (
            "diffusion",
            put("transformer.latent_channels", 32),
            "$: `transformer.latent_channels` 32 must equal `autoencoder.latent_channels` 64",
        ),
        (
            "diffusion",
            put("conditioning.width", 512),
            "$: `transformer.context_width` 768 must equal `conditioning.width` 512",
        ),
        (
            "diffusion",
            put("transformer.global_width", 768),
            "$: `transformer.global_width` 768 must equal `conditioning.width` x the number of "
            "`conditioning.global` ids = 1536",
        ),
        (
            "diffusion",
            put("transformer.heads", 7),
            "$.transformer: `width` 1536 must be divisible by `heads` 7",
        ),
        (
            "diffusion",
            put("transformer.heads", 768),
            "$.transformer: `width` / `heads` must be a multiple of 4 (half of it is rotated in "
            "pairs), found 1536 / 768 = 2",
        ),
        (
            "diffusion",
            put("transformer.rotated", 33),
            "$.transformer: `rotated` 33 must be even (features are rotated in pairs) and at most "
            "the head width 64 (= `width` 1536 / `heads` 24)",
        ),
        (
            "diffusion",
            put("transformer.rotated", 66),
            "$.transformer: `rotated` 66 must be even (features are rotated in pairs) and at most "
            "the head width 64 (= `width` 1536 / `heads` 24)",
        ),
        (
            "diffusion",
            put("transformer.heads", 3),
            "$.transformer: `context_width` 768 must be divisible by the head width 512 "
            "(= `width` 1536 / `heads` 3)",
        ),
        (
            "diffusion",
            put("transformer.context_width", 320),
            "$.transformer: `heads` 24 must be divisible by the key/value heads 5 "
            "(= `context_width` 320 / head width 64)",
        ),
        (
            "diffusion",
            put("conditioning.conditioners.1.min", 512),
            "$.conditioning.conditioners[1]: `min` must be below `max`, found 512 and 512",
        ),
        (
            "diffusion",
            put("conditioning.conditioners.0.type", "t6"),
            '$.conditioning.conditioners[0].type: found "t6"; allowed: "t5", "number"; '
            'did you mean "t5"?',
        ),
        (
            "diffusion",
            put("conditioning.conditioners.1.id", "prompt"),
            '$.conditioning: two conditioners have the id "prompt"; ids must be unique',
        ),
        (
            "diffusion",
            put("conditioning.cross_attention.0", "text"),
            '$.conditioning: `cross_attention` names the conditioner "text"; '
            'there are: "prompt", "seconds_start", "seconds_total"',
        ),
        (
            "diffusion",
            put("conditioning.global.1", "seconds_start"),
            '$.conditioning: `global` names "seconds_start" twice; allowed: once',
        ),
        (
            "diffusion",
            drop("conditioning.cross_attention.0"),
            '$.conditioning: the conditioner "prompt" is used nowhere; '
            "name it in `cross_attention`",
        ),
        (
            "diffusion",
            put("conditioning.global.1", "prompt"),
            '$.conditioning: `global` takes single tokens, but "prompt" is a text; '
            'allowed: "seconds_start", "seconds_total"',
        ),
        (
            "diffusion",
            put("training.demo", {"every": 1, "steps": 1, "count": 1, "guidance_scales": [1],
                "conditions": [{"prompt": "a", "seconds_start": 0}]}),
            "$: `training.demo.conditions[0]` must give prompt, seconds_start, seconds_total, "
            "found prompt, seconds_start",
        ),
        (
            "diffusion",
            put("training.demo", {"every": 1, "steps": 1, "count": 1, "guidance_scales": [1],
                "conditions": [{"prompt": "a", "seconds_start": "b", "seconds_total": 1}]}),
            "$: `training.demo.conditions[0]` must give a number for seconds_start, found 'b'",
        ),
        (
            "diffusion",
            put("data.prompts.inclusion", 1.5),
            "$.data.prompts.inclusion: found 1.5; allowed: a number >= 0 and <= 1",
        ),
        (
            "diffusion",
            put("data.prompts.fields", ["year", "artists"]),
            '$.data.prompts.fields[1]: found "artists"; allowed: "album", "artist", "description", '
            '"genres", "tags", "title", "year"; did you mean "artist"?',
        ),
        (
            "diffusion",
            put("data.prompts.named", "{title}"),
            "$.data.prompts: named is '{title}'; allowed are {field} and {value} in braces",
        ),
        (
            "diffusion",
            put("data.prompts.case", ["lower"]),
            '$.data.prompts: unknown field "case"; allowed: "fields", "inclusion", "named_share", '
            '"named_catalogues", "named", "separator", "cases"; did you mean "cases"?',
        ),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_each_other(
    name: str, change: Callable[[Value], object], expected: str
) -> None:
    assert message(name, change) == expected


def test_another_text_than_the_prompt() -> None:
    def change(value: Value) -> None:
        conditioning = value["conditioning"]
        conditioning["conditioners"][0]["id"] = "text"
        conditioning["cross_attention"][0] = "text"

    assert message("diffusion", change) == (
        "$: `conditioning.conditioners` must hold one text, of the id `prompt`, and any numbers; "
        "found the texts ['text']"
    )


def test_the_cause_is_kept() -> None:
    value = json.loads((CONFIGS / "diffusion.json").read_bytes())
    value["transformer"]["heads"] = 7
    with pytest.raises(ConfigError) as error:
        decode_config(json.dumps(value), source="file.json")
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value.__cause__, msgspec.ValidationError)


@pytest.mark.slow
@pytest.mark.parametrize("new", [None, True, 0, -1, 7, 0.5, 1e300, "x", "dit", [], [1], {"a": 1}])
@pytest.mark.parametrize("name", ["autoencoder", "diffusion"])
def test_any_part_replaced_is_refused_in_one_line_where_msgspec_refuses_it(
    name: str, new: object
) -> None:
    original = json.loads((CONFIGS / f"{name}.json").read_bytes())
    del original["$schema"]
    for path in paths(original):
        value = json.loads(json.dumps(original))
        put(path, new)(value)
        try:
            expected = msgspec.convert(value, ModelConfig)
        except msgspec.ValidationError:
            with pytest.raises(
                ConfigError, match=r"^file\.json: \$.*(; allowed|must|name)"
            ) as error:
                decode_config(json.dumps(value), source="file.json")
            assert "\n" not in str(error.value)
        else:
            assert decode_config(json.dumps(value), source="file.json") == expected

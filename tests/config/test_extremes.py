"""Numbers that no machine can serve are refused by their field, with its limit."""

import json
from pathlib import Path

import pytest

from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.read import decode_config, read_config

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("override", "limit"),
    [
        ("transformer.depth=1000000", "an integer >= 1 and <= 1000"),
        ("transformer.width=1099511627776", "an integer >= 1 and <= 65536"),
        ("autoencoder.latent_channels=1099511627776", "an integer >= 1 and <= 65536"),
        ("autoencoder.encoder.multipliers.0=1099511627776", "an integer >= 1 and <= 65536"),
        ("autoencoder.encoder.strides.0=1099511627776", "that is a multiple of 2"),
        ("conditioning.conditioners.0.max_length=10000000", "an integer >= 1 and <= 65536"),
        ("sample_rate=1000000000", "an integer >= 1 and <= 768000"),
        ("window_samples=1000000000000000000", "an integer >= 1 and <= 1000000000"),
        ("data.workers=1000000", "an integer >= 0 and <= 1024"),
        ("data.crops_per_recording=1000000000000", "an integer >= 1 and <= 65536"),
        ("training.trainer.max_steps=1" + "0" * 30, "an integer >= 1 and <= 1000000000"),
        ("training.trainer.devices=10000000", "an integer >= 1 and <= 65536"),
        ("training.trainer.accumulate=10000000", "an integer >= 1 and <= 65536"),
        ("training.trainer.gradient_clip=1e308", "a number > 0 and <= 1e+09"),
        ("training.seed=18446744073709551616", "an integer >= 0 and <= 4294967295"),
        ("training.batch_size=1000000000", "an integer >= 1 and <= 65536"),
        ("training.optimizer.lr=1e308", "a number > 0 and <= 10"),
        ("training.optimizer.weight_decay=1e308", "a number >= 0 and <= 1e+09"),
        ("training.demo.steps=10000000000", "an integer >= 1 and <= 10000"),
    ],
)
def test_an_extreme_is_refused_with_the_limit_of_its_field(override: str, limit: str) -> None:
    field = override.partition("=")[0]
    with pytest.raises(ConfigError) as refused:
        read_config(CONFIGS / "tiny" / "diffusion.json", [override])
    message = str(refused.value)
    assert message.endswith(limit) or f"{limit} or " in message
    *path, last = field.split(".")
    assert f".{last}: " in message or f".{path[-1]}[{last}]: " in message
    assert len(message) < 300


@pytest.mark.parametrize("field", ["output", "name"])
def test_text_with_nul_is_refused(field: str) -> None:
    value = json.loads((CONFIGS / "tiny" / "diffusion.json").read_bytes())
    value["training"]["trainer"][field] = "a\0b"
    message = rf'^x: \$\.training\.trainer\.{field}: found "a\\u0000b"; allowed: text without NUL$'
    with pytest.raises(ConfigError, match=message):
        decode_config(json.dumps(value), source="x")


def test_a_field_that_occurs_twice_among_thousands_is_named() -> None:
    fields = [f'"field{number}": 1' for number in range(20_000)]
    with pytest.raises(ConfigError, match=r'^x: found the field "field19998" twice in one object'):
        decode_config("{" + ", ".join([*fields, fields[-2]]) + "}", source="x")


def test_an_error_is_one_line_whatever_a_name_holds() -> None:
    assert str(ConfigError("a.json: $: names 'x\ny\r\n' of  two")) == (
        "a.json: $: names 'x y ' of  two"
    )


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as refused:
        decode_config('{"' + "x" * 10_000 + '": 1}', source="x")
    assert len(str(refused.value)) < 400

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from stable_audio_open.config.curation import ManifestSourceConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import (
    decode_config,
    encode_config,
    model_part,
    read_config,
    read_curation,
)

REPOSITORY = Path(__file__).parents[2]
CURATION = sorted(REPOSITORY.glob("configs/curation/*.json"))
CONFIGS = sorted(set(REPOSITORY.glob("configs/*/*.json")) - set(CURATION))
DIFFUSION = REPOSITORY / "configs/stable_audio_open_1_0/diffusion.json"
AUTOENCODER = REPOSITORY / "configs/stable_audio_open_1_0/autoencoder.json"
PUBLISHED = Path(__file__).with_name("published_model_config.json")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_shipped_configuration_parses_and_names_the_schema(path: Path) -> None:
    config = read_config(path)
    assert isinstance(config, AutoencoderModelConfig | DiffusionModelConfig)
    assert config.training is not None
    assert config.data is not None
    assert json.loads(path.read_bytes())["$schema"] == "../schema.json"


@pytest.mark.parametrize("path", CURATION, ids=lambda path: path.stem)
def test_every_shipped_curation_parses_and_names_the_schema(path: Path) -> None:
    assert read_curation(path).sources
    assert json.loads(path.read_bytes())["$schema"] == "../schema.json"


def test_the_shipped_curation_with_overrides() -> None:
    (path,) = CURATION
    config = read_curation(
        path, ["music=null", "duplicates.near.threshold=0.9", "sources.0.path=x"]
    )
    assert config.music is None
    assert config.duplicates is not None
    assert config.duplicates.near is not None
    assert config.duplicates.near.threshold == 0.9
    assert config.sources == (ManifestSourceConfig(path="x"),)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scann=null", '$: unknown field "scann"'),
        ("sources=[]", "$.sources: found an array of 0; allowed: a non-empty array"),
        (
            "music.tagger.type=clap",
            '$.music.tagger.type: found "clap"; allowed: "panns", "musicnn"',
        ),
        ("duplicates.near.threshold=0", "$.duplicates.near.threshold: found 0"),
        ("scan.silence_db=0", "$.scan.silence_db: found 0; allowed: a number < 0"),
    ],
)
def test_mistakes_in_a_curation(override: str, message: str) -> None:
    (path,) = CURATION
    with pytest.raises(ConfigError) as error:
        read_curation(path, [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_is_no_curation_and_a_curation_no_model() -> None:
    with pytest.raises(
        ConfigError, match=r'\$\.type: found "latent_diffusion"; allowed: "curation"'
    ):
        read_curation(DIFFUSION)
    with pytest.raises(ConfigError, match=r'\$\.type: found "curation"; allowed: "autoencoder"'):
        read_config(CURATION[0])


def test_shipped_diffusion_configuration_is_the_published_model() -> None:
    shipped, published = read_config(DIFFUSION), read_config(PUBLISHED)
    assert model_part(shipped) == replace(model_part(published), name=shipped.name)
    assert shipped.training is not None
    assert published.training is not None
    assert shipped.training.optimizer == published.training.optimizer
    assert shipped.training.schedule == published.training.schedule
    assert shipped.training.ema == published.training.ema
    assert shipped.autoencoder.downsampling == 2048


def test_shipped_autoencoder_is_that_of_the_diffusion_model() -> None:
    autoencoder = replace(read_config(AUTOENCODER).autoencoder, iterate_batch=True)
    assert autoencoder == read_config(DIFFUSION).autoencoder


@pytest.mark.parametrize("path", [*CONFIGS, PUBLISHED], ids=lambda path: path.stem)
def test_encoding_round_trips_and_is_stable(path: Path) -> None:
    config = read_config(path)
    text = encode_config(config)
    assert decode_config(text, source="text") == config
    assert encode_config(decode_config(text.decode(), source="text")) == text
    assert text.startswith(b'{\n  "type": ')
    assert text.endswith(b"}\n")


def test_model_part_has_neither_data_nor_training() -> None:
    config = read_config(DIFFUSION)
    part = model_part(config)
    assert part.data is None
    assert part.training is None
    assert replace(part, data=config.data, training=config.training) == config


def test_the_schema_is_named_at_the_top_only_and_as_a_string() -> None:
    value = json.loads(AUTOENCODER.read_bytes())
    value["$schema"] = 3
    with pytest.raises(ConfigError) as error:
        decode_config(json.dumps(value), source="vae.json")
    assert str(error.value) == "vae.json: $.$schema: found 3; allowed: a string"

    value["$schema"] = "../schema.json"
    value["autoencoder"]["bottleneck"]["$schema"] = "../schema.json"
    with pytest.raises(ConfigError) as error:
        decode_config(json.dumps(value), source="vae.json")
    assert str(error.value) == (
        'vae.json: $.autoencoder.bottleneck: unknown field "$schema"; allowed: "type"'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "type": }', "invalid JSON at line 2, column 11: expecting value"),
        ("", "invalid JSON at line 1, column 1: expecting value"),
        ('{"a": 1,, "b": 2}', "invalid JSON at line 1, column 9: "),
        ('{"a": {"b": 1, "b": 2}}', 'found the field "b" twice in one object; allowed: once'),
        ('{"a": NaN}', "found NaN; allowed: finite numbers"),
        ("[" * 100_000, "the JSON is nested too deeply to be read"),
        ("[1, 2]", "$: found an array of 2; allowed: an object"),
    ],
)
def test_text_that_is_not_a_json_object(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        decode_config(text, source="bad.json")
    assert str(error.value).startswith(f"bad.json: {message}")
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf_8() -> None:
    with pytest.raises(ConfigError) as error:
        decode_config(b'{"a": "\xff"}', source="bad.json")
    assert str(error.value) == (
        "bad.json: found byte 0xff at offset 7; allowed: JSON as UTF-8 text"
    )
    assert isinstance(error.value.__cause__, UnicodeDecodeError)


def test_a_byte_order_mark_is_read_over() -> None:
    assert decode_config(b"\xef\xbb\xbf" + AUTOENCODER.read_bytes(), source="bom") == read_config(
        AUTOENCODER
    )


def test_missing_file_names_the_nearest() -> None:
    folder = DIFFUSION.parent
    with pytest.raises(ConfigError) as error:
        read_config(folder / "difusion.json")
    assert str(error.value) == (
        f'{folder / "difusion.json"}: no such file; did you mean "diffusion.json"?'
    )
    assert isinstance(error.value.__cause__, FileNotFoundError)


def test_missing_folder_names_the_nearest() -> None:
    path = REPOSITORY / "configs/stable_audio_open_10/diffusion.json"
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value) == (
        f'{path}: there is no folder "{path.parent}"; did you mean "stable_audio_open_1_0"?'
    )


def test_folder_instead_of_a_file() -> None:
    with pytest.raises(ConfigError) as error:
        read_config(DIFFUSION.parent)
    assert str(error.value) == (
        f"{DIFFUSION.parent}: found a folder; allowed: a JSON file, such as autoencoder.json, "
        "autoencoder_decoder.json, diffusion.json"
    )
